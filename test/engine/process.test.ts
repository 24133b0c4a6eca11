import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';

test('a program that forgets to close its engine still ends, with exit code 0', async t => {
	t.timeout(60_000);
	const program = new Program(t, 'engine', join(makeFolder(t), 'jobs.db'), 'forget');
	t.is(await program.line(), '3');
	t.like(await program.ended(), {code: 0, signal: null, stderr: ''});
});

test('a program that has left a map does not wait for jobs whose end it did not see', async t => {
	t.timeout(60_000);
	const folder = makeFolder(t);
	writeFileSync(join(folder, 'file'), '');
	const program = new Program(t, 'engine', join(folder, 'jobs.db'), 'leave', join(folder, 'file'));
	t.is(await program.line(), 'completed');
	t.like(await program.ended(), {code: 0, signal: null, stderr: ''});
});

test('a program that awaits a result does not end before it', async t => {
	t.timeout(60_000);
	const folder = makeFolder(t);
	const file = join(folder, 'file');
	const program = new Program(t, 'engine', join(folder, 'jobs.db'), 'await', file);
	t.is(await program.line(), 'waits');
	writeFileSync(file, '');
	t.is(await program.line(), file);
	t.like(await program.ended(), {code: 0, signal: null});
});

test('a program may end by process.exit() with its engine open', async t => {
	t.timeout(60_000);
	const program = new Program(t, 'engine', join(makeFolder(t), 'jobs.db'), 'exit');
	t.like(await program.ended(), {code: 5, signal: null, stderr: ''});
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
	test(`under closeOnSignals ${signal} lets the running job finish, and then ends the program by that signal`, async t => {
		const folder = makeFolder(t);
		const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'file')];
		const program = new Program(t, 'engine', queue, 'onSignals', file);
		t.is(await program.line(), 'runs');
		program.process.kill(signal);
		t.is(await program.line(), 'heard');
		writeFileSync(file, '');
		t.like(await program.ended(), {code: null, signal});
		const faena = await openEngine(t, {queue, tasks: null});
		t.like((await faena.jobs().page())[0], {status: 'completed', attempts: 0, executions: 1});
	});
}

test('under closeOnSignals a second signal does not wait for the running job, and does not charge it', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const program = new Program(t, 'engine', queue, 'onSignals');
	t.is(await program.line(), 'runs');
	program.process.kill('SIGTERM');
	t.is(await program.line(), 'heard');
	program.process.kill('SIGINT');
	t.is(await program.line(), 'heard');
	t.is(await program.line(), 'Closed');
	const {signal} = await program.ended();
	t.true(signal === 'SIGTERM' || signal === 'SIGINT');
	const faena = await openEngine(t, {queue, tasks: null});
	t.like((await faena.jobs().page())[0], {status: 'pending', attempts: 0, executions: 1});
});

test('under closeOnSignals an engine listens until it is closed, so that it ends no program in which another one still runs', async t => {
	const program = new Program(t, 'engine', join(makeFolder(t), 'jobs.db'), 'listenAndClose');
	t.is(await program.line(), '2');
	t.is(await program.line(), '0');
	t.like(await program.ended(), {code: 0});
});

test('under closeOnSignals a program that catches nothing ends by the signal as well, without a word', async t => {
	const program = new Program(t, 'engine', join(makeFolder(t), 'jobs.db'), 'heedless');
	t.is(await program.line(), 'runs');
	program.process.kill('SIGTERM');
	program.process.kill('SIGINT');
	const {code, signal, stderr} = await program.ended();
	t.is(code, null);
	t.true(signal === 'SIGTERM' || signal === 'SIGINT');
	t.is(stderr, '');
});

test('under closeOnSignals an error of the program is as fatal as ever', async t => {
	const program = new Program(t, 'engine', join(makeFolder(t), 'jobs.db'), 'heedless', 'throws');
	t.is(await program.line(), 'runs');
	const {code, stderr} = await program.kill('SIGTERM');
	t.not(code, 0);
	t.regex(stderr, /of its own/);
});

test('a program that is killed at any moment loses no job: jobs that had begun run again, uncharged, and no job ends twice', async t => {
	const jobs = 400;
	const folder = makeFolder(t);
	const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'runs')];
	const producer = await openEngine(t, {queue, tasks: null});
	const {ids} = await producer.enqueueMany(
		'markOnce',
		Array.from({length: jobs}, (_, index) => ({file, line: String(index + 1), ms: 5})),
	);
	const told: string[] = [];
	const results = new Map<number, unknown>();
	for (const lines of [1, 40, 90, 150]) {
		const program = new Program(t, 'engine', queue, 'work');
		for (let line = 0; line < lines && told.length < jobs; line++) told.push(await program.line());
		await program.kill('SIGKILL');
		for (const {id} of await producer.jobs({status: 'completed'}).page({limit: jobs})) {
			const {result} = (await producer.job(id).info()) as {result: unknown};
			t.is(results.get(id) ?? result, result);
			results.set(id, result);
		}
		// Whatever it said had ended, has.
		for (const id of told) t.true(results.has(Number(id)));
	}
	const faena = await openEngine(t, {queue});
	await faena.idle();
	t.deepEqual(await faena.counts(), {blocked: 0, pending: 0, running: 0, failed: 0, completed: jobs, dead: 0, cancelled: 0});
	t.true((await faena.jobs().page({limit: jobs})).every(({attempts, executions}) => attempts === 0 && executions >= 1));
	for (const [id, result] of results) t.is((await faena.job(id).info())?.result, result);
	const runs = readFileSync(file, 'utf8').split('\n').slice(0, -1);
	t.deepEqual(
		[...new Set(runs)].map(Number).sort((a, b) => a - b),
		ids,
	);
	t.is(new Set(told).size, told.length);
});

test('jobs that ran when their program was killed run again at once', async t => {
	const folder = makeFolder(t);
	const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'file')];
	const producer = await openEngine(t, {queue, tasks: null});
	const job = await producer.enqueue('heed', file);
	const program = new Program(t, 'engine', queue, 'onSignals');
	t.is(await program.line(), 'runs');
	await program.kill('SIGKILL');
	writeFileSync(file, '');
	// Its lease would last for 30 s more; the test's own time is a third of that.
	const faena = await openEngine(t, {queue});
	t.is(await faena.job<'hold'>(job.id).result({timeout: '10s'}), file);
	t.like(await job.info(), {status: 'completed', attempts: 0, executions: 2});
});

import {readdirSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {isDeepStrictEqual} from 'node:util';
import test, {type ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import pg from 'pg';
import {ExitCode} from '../../lib/cli/exit-codes.ts';
import {open} from '../../lib/index.ts';
import {type JobQueue, moveQueue, openQueue, reopenQueue} from '../../lib/queue.ts';
import {brokenLaws} from '../fault/laws.ts';
import {brokenLaws as brokenPostgresLaws} from '../fault/postgres-laws.ts';
import {PostgresServer} from '../fixtures/postgres-server.ts';
import {drawn} from '../fixtures/random.ts';
import {assertSentence, FAENA, Folder} from './command.ts';

/** A task module whose jobs end in every way. */
const TASKS = `
export const text = number => ({text: 'é'.repeat(number)});
export const bytes = number => new Uint8Array(number).fill(7);
export const dies = async (number, ctx) => {
	ctx.log('tried\\u0000' + number);
	ctx.progress(1, 2);
	throw Object.assign(new TypeError('no ' + number), {code: 'E' + number});
};
export const hangs = () => new Promise(() => setInterval(() => {}, 1000));
`;

let server: PostgresServer;
let schemas = 0;
const schema = () => `${server.url}?schema=moves${schemas++}`;
const schemaOf = (url: string) => new URL(url).searchParams.get('schema') as string;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
});

test.after.always(() => server?.stop());

function openOn(folder: Folder, queue: string) {
	return open({queue, tasks: new URL(`file://${folder.path}/tasks.mjs`), workers: 2, blobs: {threshold: '64kib'}});
}

/** A queue as programs leave it: jobs in every state, of maps, flows and schedules, with results of all sizes. */
async function makeQueue(folder: Folder, location: string): Promise<void> {
	folder.write('tasks.mjs', TASKS);
	const faena = await openOn(folder, location);
	for await (const _ of faena.map(
		'text',
		Array.from({length: 3000}, (_, index) => index % 50),
		{batch: 'many'},
	));
	for await (const _ of faena.map('bytes', [1, 70_000, 3_000_000, 3_000_000, 3_000_000], {key: each => `k${each}`, batch: 'large'}));
	const dead = await faena.enqueue('dies', 1, {maxAttempts: 2, backoff: {base: '1ms'}, key: 'dead'});
	await faena.enqueue('dies', 2, {maxAttempts: 3, backoff: {base: '1h', jitter: 0}});
	await faena.enqueue('dies', 3, {retry: 'manual'});
	// Two wait for their next attempt.
	for (let counts = await faena.counts(); counts.pending + counts.running > 0 || counts.failed > 2; counts = await faena.counts()) await sleep(10);
	await faena.pause('text');
	await faena.enqueueMany(
		'text',
		Array.from({length: 2500}, (_, index) => `p${index}`),
		{key: each => each},
	);
	await faena.enqueue('text', new Uint8Array(9_000_000), {priority: 3, delay: '1h', expires: '2h'});
	const parent = await faena.enqueue('text', 4);
	await faena.enqueue('text', 5, {dependsOn: [parent]});
	await faena.cancel({ids: [(await faena.enqueue('text', 6, {dependsOn: [dead], onParentDead: 'run'})).id]});
	await faena.setSchedule('nightly', {task: 'text', payload: new Map([[1, 2]]), cron: '0 3 * * *'});
	await faena.close();
}

interface Everything {
	readonly jobs: readonly unknown[];
	readonly others: unknown;
}

/** All that can be read of a queue. */
async function everything(location: string): Promise<Everything> {
	const queue = await openQueue(location, {readOnly: true});
	try {
		const jobs: unknown[] = [];
		let after: number | undefined;
		do {
			const page: Awaited<ReturnType<JobQueue['store']['jobs']>> = await queue.store.jobs(
				{},
				{limit: 500, ...(after !== undefined && {after})},
				{values: true, logs: true, history: true},
			);
			// PostgreSQL has no NUL.
			jobs.push(...page.jobs.map(({logs, ...job}) => ({...job, logs: logs?.map(line => ({...line, text: line.text.replace('\0', '\uFFFD')}))})));
			after = page.next as number | undefined;
		} while (after);
		return {jobs, others: [await queue.counts(), (await queue.store.batches()).batches, await queue.store.schedules()]};
	} finally {
		await queue.close();
	}
}

async function fill(location: string, jobs: number): Promise<void> {
	const queue = await openQueue(location);
	await queue.enqueue(Array.from({length: jobs}, () => ({task: 'text', payload: 1})));
	await queue.close();
}

async function countIn(location: string): Promise<number> {
	const queue = await openQueue(location, {readOnly: true});
	const {pending} = await queue.counts();
	await queue.close();
	return pending;
}

/** Shows the first job that differs. */
function assertSame(t: ExecutionContext, actual: Everything, expected: Everything): void {
	const index = expected.jobs.findIndex((job, each) => !isDeepStrictEqual(job, actual.jobs[each]));
	t.deepEqual(actual.jobs[index], expected.jobs[index]);
	t.deepEqual({...actual, jobs: actual.jobs.length}, {...expected, jobs: expected.jobs.length});
}

async function assertLaws(t: ExecutionContext, location: string): Promise<void> {
	if (location.startsWith('postgres:')) {
		const client = new pg.Client(server.url);
		await client.connect();
		t.deepEqual(await brokenPostgresLaws(client, schemaOf(location)), []);
		await client.end();
		return;
	}
	const db = new Database(location);
	t.deepEqual(brokenLaws(db), []);
	db.close();
}

/** Where a queue is, and goes. */
const ROUTES: Readonly<Record<string, readonly [from: 'file' | 'PostgreSQL', to: 'file' | 'PostgreSQL', moments: readonly string[]]>> = {
	'a file to PostgreSQL': ['file', 'PostgreSQL', ['begun', 'frozen', 'page:3', 'page:7', 'arrived', 'told']],
	'PostgreSQL to a file': ['PostgreSQL', 'file', ['begun', 'frozen', 'page:3', 'page:7', 'arrived', 'told']],
	'a file to a file': ['file', 'file', ['begun', 'page:5', 'told']],
	'PostgreSQL to PostgreSQL': ['PostgreSQL', 'PostgreSQL', ['page:5', 'told']],
};

for (const [route, [from, to, moments]] of drawn(Object.entries(ROUTES), 2))
	test.serial(`a queue moves from ${route} with all that is in it, however often the move is killed`, async t => {
		t.timeout(180_000);
		const folder = new Folder(t);
		const at = (kind: string, name: string) => (kind === 'file' ? join(folder.path, name) : schema());
		const [old, anew] = [at(from, 'old.db'), at(to, 'new.db')];
		await makeQueue(folder, old);
		const before = await everything(old);
		for (const moment of drawn(moments, 1)) {
			const killed = folder.sh(`FAENA_FAILPOINTS=move:${moment}=kill '${process.execPath}' '${FAENA}' move --from '${old}' --to '${anew}'`);
			t.true((await killed.end()).code > 128, moment);
			// Nobody can write to both, nor to one that is not whole.
			for (const location of moment === 'begun' ? [anew] : [old, anew]) {
				const queue = await openQueue(location);
				await t.throwsAsync(queue.enqueue([{task: 'text', payload: 1}]), {code: 'QueueMoved', message: /is moving (to|here)|has moved to/}, moment);
				await queue.close();
			}
		}
		const {code, stderr} = await folder.faena('move', '--from', old, '--to', anew).end();
		t.is(code, 0, stderr);
		assertSentence(t, await folder.faena('move', '--from', old, '--to', anew).end(), /has moved to .* already/, ExitCode.unavailable);
		assertSame(t, await everything(anew), before);
		assertSame(t, await everything(old), before);
		await assertLaws(t, anew);
		t.deepEqual(
			readdirSync(folder.path).filter(name => /-wal|-shm/.test(name)),
			[],
		);
		// It goes on: nobody sees that it has moved.
		const faena = await openOn(folder, anew);
		await faena.resume('text');
		const again = [];
		for await (const item of faena.map(
			'text',
			Array.from({length: 3001}, (_, index) => index % 50),
			{batch: 'many'},
		))
			again.push(item.reused === true);
		t.deepEqual(again, [...new Array(3000).fill(true), false]);
		t.is(
			(await faena.enqueue('dies', 1, {maxAttempts: 2, backoff: {base: '1ms'}, key: 'dead'})).id,
			(await faena.jobs({task: 'dies', status: 'dead'}).page())[0]?.id as number,
		);
		for (let counts = await faena.counts(); counts.blocked + counts.running > 0 || counts.pending > 1; counts = await faena.counts()) await sleep(10);
		await faena.close();
	});

for (const [kind, at] of [
	['a file', (folder: Folder) => join(folder.path, 'old.db')],
	['PostgreSQL', () => schema()],
] as const) {
	test.serial(`${kind}: after a move every write fails, everything can be read, and the queue can be opened for writing again`, async t => {
		const folder = new Folder(t);
		folder.write('tasks.mjs', TASKS);
		const old = at(folder);
		const faena = await openOn(folder, old);
		const {id} = await faena.enqueue('text', 1, {delay: '1h', key: 'late'});
		for await (const _ of faena.map('text', [1], {batch: 'one'}));
		const inUse = await t.throwsAsync(moveQueue(old, join(folder.path, 'new.db')), {
			code: 'DatabaseBusy',
			message: /is in use by the program .*Close all engines/,
		});
		t.notRegex(inUse.message, /\n/);
		await faena.enqueue('text', 2, {delay: '1h'});
		await faena.close();
		const beside = await openQueue(old);
		await beside.counts();

		const {code, stdout, stderr} = await folder.faena('move', '--from', old, '--to', 'new.db').end();
		t.is(code, 0, stderr);
		t.regex(stdout, /^new\.db: 3 jobs\. .* can only be read from now on\.\n$/);
		t.is(/--batch/.test(stderr), kind === 'PostgreSQL');
		const moved = {code: 'QueueMoved', message: /has moved to .*new\.db\. Use that one/};
		await t.throwsAsync(beside.enqueue([{task: 'text', payload: 1}]), moved);
		await t.throwsAsync(beside.dequeue({owner: 'me', tasks: ['text'], limit: 1}), moved);
		await t.throwsAsync(beside.store.move({ids: [id]}, 'cancelled'), moved);
		await t.throwsAsync(beside.store.setPaused(['text'], true), moved);
		await t.throwsAsync(beside.store.delete({batch: 'one'}), moved);
		await t.throwsAsync(beside.store.openBatch('two', 'text', 'me'), moved);
		t.is((await beside.counts()).pending, 2);
		await beside.close();
		await t.throwsAsync(
			openOn(folder, old).then(async engine => engine.enqueue('text', 1).finally(() => engine.close())),
			moved,
		);
		if (kind === 'PostgreSQL') {
			const client = new pg.Client(server.url);
			await client.connect();
			await t.throwsAsync(client.query(`select * from ${schemaOf(old)}.enqueue('text', '1')`), {code: 'FA009', message: moved.message});
			await client.end();
		} else {
			const db = new Database(old);
			t.throws(() => db.exec('delete from job'), {message: moved.message});
			db.close();
		}
		t.regex((await folder.faena('list', '--queue', old).end()).stdout, /text/);
		for (const command of ['doctor', 'status'])
			t.regex((await folder.faena(command, '--queue', old).end()).stdout, /The queue moves, or has moved, to .*new\.db/);
		t.like(JSON.parse((await folder.faena('status', '--json', '--queue', old).end()).stdout), {move: {isArriving: false}});
		const elsewhere = await t.throwsAsync(moveQueue(old, join(folder.path, 'other.db')), {code: 'QueueMoved', message: /has moved to .*new\.db already/});
		t.notRegex(elsewhere.message, /\n/);

		t.is((await folder.faena('move', '--from', old, '--reopen').end()).code, 0);
		const again = await openQueue(old);
		t.is((await again.enqueue([{task: 'text', payload: 1}])).length, 1);
		await again.close();
		await t.throwsAsync(reopenQueue(old), {code: 'BadOption', message: /has not moved/});
	});

	test.serial(`${kind}: jobs that a killed program was running are pending in the queue that is made, and a move that was given up can begin anew`, async t => {
		const folder = new Folder(t);
		folder.write('tasks.mjs', TASKS);
		const [old, anew] = [at(folder), at(folder).replace('old.db', 'new.db')];
		folder.write(
			'run.mjs',
			`import {open} from '${new URL('../../lib/index.ts', import.meta.url)}';
			const faena = await open({queue: '${old}', tasks: new URL('./tasks.mjs', import.meta.url), workers: 2, lease: '1s'});
			await faena.enqueueMany('hangs', [1, 2, 3]);
			while ((await faena.counts()).running < 2) await new Promise(done => setTimeout(done, 10));
			setInterval(() => {}, 1000);
			console.log('runs');`,
		);
		const program = folder.run('run.mjs');
		await program.printed(1);
		t.regex((await folder.faena('move', '--from', old, '--to', anew).end()).stderr, /is in use by the program/);
		program.child.kill('SIGKILL');
		await program.end();
		// Those of PostgreSQL may be on another host, so that only their silence shows that they have ended.
		let ended = await folder.sh(`FAENA_FAILPOINTS=move:frozen=kill '${process.execPath}' '${FAENA}' move --from '${old}' --to '${anew}'`).end();
		while (ended.stderr.includes('in use'))
			ended = await folder.sh(`FAENA_FAILPOINTS=move:frozen=kill '${process.execPath}' '${FAENA}' move --from '${old}' --to '${anew}'`).end();
		t.true(ended.code > 128, ended.stderr);
		await reopenQueue(old);
		t.deepEqual(await moveQueue(old, anew), {jobs: 3});
		const queue = await openQueue(anew);
		t.deepEqual(await queue.counts(), {blocked: 0, pending: 3, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0});
		// Claimed by the killed program, the third maybe ahead.
		const executions = (await queue.store.jobs({})).jobs.map(job => job.executions);
		t.true([[1, 1, 0].join(), [1, 1, 1].join()].includes(executions.join()), executions.join());
		await queue.close();
	});
}

const FROM_AND_TO = {file: ['old.db', 'new.db'], PostgreSQL: [undefined, undefined]} as const;

for (const [kind, names] of drawn(Object.entries(FROM_AND_TO), 1)) {
	const at = (folder: Folder, name: string | undefined) => (name === undefined ? schema() : join(folder.path, name));

	test.serial(`${kind}: a queue that has arrived takes no other move, though the last one was killed before its end`, async t => {
		const folder = new Folder(t);
		const [old, anew, third] = [at(folder, names[0]), at(folder, names[1]), join(folder.path, 'third.db')];
		for (const location of [old, third]) await fill(location, 3);
		const kill = (moment: string) =>
			folder.sh(`FAENA_FAILPOINTS=move:${moment}=kill '${process.execPath}' '${FAENA}' move --from '${old}' --to '${anew}'`).end();
		await kill('arrived');
		await t.throwsAsync(moveQueue(third, anew), {code: 'BadOption', message: /has what a move has brought from .*, which has not ended/});
		await kill('told');
		await t.throwsAsync(moveQueue(third, anew), {code: 'BadOption', message: /has what a move has brought/});
		t.deepEqual(await moveQueue(old, anew), {jobs: 3});
		await fill(anew, 2);
		await t.throwsAsync(moveQueue(third, anew), {code: 'BadOption', message: /has been used already/});
		await t.throwsAsync(moveQueue(old, anew), {code: 'QueueMoved', message: /has moved to .* already/});
		// The third one is as it was; a queue that was left is no target, either.
		t.deepEqual([await countIn(anew), await countIn(third)], [5, 3]);
		await t.throwsAsync(moveQueue(anew, old), {code: 'BadOption', message: /has been used already/});
		await fill(anew, 1);
		await fill(third, 1);
	});

	test.serial(`${kind}: of two moves at once, one moves all jobs, and the other is refused`, async t => {
		const folder = new Folder(t);
		const [old, anew, other] = [at(folder, names[0]), at(folder, names[1]), at(folder, names[1] && 'other.db')];
		await fill(old, 6000);
		const move = (to: string) => folder.faena('move', '--from', old, '--to', to).end();
		const results = await Promise.all([move(anew), move(anew), move(other)]);
		t.true(results.filter(({code}) => code === 0).length <= 1, results.map(({stdout}) => stdout).join());
		for (const {code, stderr} of results) if (code !== 0) t.regex(stderr, /already|Another faena move|another move|in use|locked|busy/i);
		// If each was in the way of the others, the next one goes on.
		if (results.every(({code}) => code !== 0)) await moveQueue(old, anew).catch(async () => moveQueue(old, other));
		const whole = [];
		for (const location of [anew, other]) {
			const queue = await openQueue(location);
			const isOpen = await queue.store.setPaused(['text'], false).then(
				() => true,
				() => false,
			);
			const {pending} = await queue.counts();
			await queue.close();
			if (isOpen && pending > 0) whole.push(pending);
		}
		t.deepEqual(whole, [6000]);
	});

	test.serial(`${kind}: a queue that is opened for writing while it moves has all jobs, and the other one can't be used`, async t => {
		const {folder, old, anew, jobs} = await reopenWhileMoving(6000);
		await fill(old, 1);
		t.is(await countIn(old), jobs + 1);
		const queue = await openQueue(anew);
		await t.throwsAsync(queue.enqueue([{task: 'text', payload: 1}]), {code: 'QueueMoved'});
		await queue.close();
		await t.throwsAsync(reopenQueue(anew), {code: 'BadOption', message: /has not arrived from/});
		await t.throwsAsync(moveQueue(anew, join(folder.path, 'third.db')), {code: 'QueueMoved', message: /has not arrived from/});

		/** On a busy machine the move may end before the other program has come to its turn: then it has to move more jobs. */
		async function reopenWhileMoving(jobs: number): Promise<{folder: Folder; old: string; anew: string; jobs: number}> {
			const folder = new Folder(t);
			const [old, anew] = [at(folder, names[0]), at(folder, names[1])];
			await fill(old, jobs);
			let reopened: Promise<void> | undefined;
			const moving = moveQueue(old, anew, {
				onProgress: () => {
					reopened ??= reopenQueue(old);
				},
			});
			const [move, reopening] = await Promise.allSettled([moving, moving.catch(() => undefined).then(() => reopened)]);
			if (move.status === 'fulfilled' && jobs < 100_000) return reopenWhileMoving(4 * jobs);
			t.is(reopening.status, 'fulfilled');
			t.like(move, {status: 'rejected', reason: {code: 'DatabaseBusy'}});
			t.regex((move as PromiseRejectedResult).reason.message, /was given to another move, or opened for writing again/);
			return {folder, old, anew, jobs};
		}
	});

	test.serial(`${kind}: the tables of others beside the queue can be written to while it moves, and after`, async t => {
		const folder = new Folder(t);
		const [old, anew] = [at(folder, names[0]), at(folder, names[1])];
		await fill(old, 1);
		const own = kind === 'file' ? '"my orders"' : `"${schemaOf(old)}"."my orders"`;
		const run = async (text: string) => {
			if (kind === 'file') {
				const db = new Database(old);
				db.exec(text);
				return db.close();
			}
			const client = new pg.Client(server.url);
			await client.connect();
			await client.query(text).finally(() => client.end());
		};
		await run(`create table ${own} (id integer)`);
		t.deepEqual(await moveQueue(old, anew), {jobs: 1});
		await run(`insert into ${own} values (1); delete from ${own}`);
		if (kind === 'PostgreSQL') await t.throwsAsync(run(`truncate "${schemaOf(old)}".progress`), {code: 'FA009'});
	});
}

test.serial('scopes of schedules and of what batches enqueue move, too', async t => {
	const folder = new Folder(t);
	folder.write('tasks.mjs', TASKS);
	const places = [join(folder.path, 'old.db'), schema(), schema(), join(folder.path, 'new.db')] as const;
	const faena = await openOn(folder, places[0]);
	await faena.setSchedule('nightly', {task: 'text', payload: 1, every: '1s'});
	await faena.map('text', [1], {batch: 'one', onComplete: 'bytes'}).toArray();
	await faena.close();
	for (const [index, place] of places.entries()) if (index > 0) await moveQueue(places[index - 1] as string, place);
	for (const place of places.slice(1, 3)) {
		const client = new pg.Client(server.url);
		await client.connect();
		const own = pg.escapeIdentifier(schemaOf(place));
		const {rows} = await client.query(
			`select s.task > 2 ^ 24 as scheduled, (on_complete->'task')::bigint > 2 ^ 24 as completes from ${own}.schedule s, ${own}.batch`,
		);
		t.deepEqual(rows, [{scheduled: true, completes: true}]);
		await client.end();
	}
});

test.serial('only a queue that exists moves, or is opened for writing again', async t => {
	const missing = schema();
	await t.throwsAsync(moveQueue(missing, join(new Folder(t).path, 'new.db')), {code: 'BadDatabase', message: /There is no queue in the schema/});
	await t.throwsAsync(reopenQueue(missing), {code: 'BadDatabase', message: /There is no queue in the schema/});
});

test.serial('what is no move is refused in a sentence, and changes nothing', async t => {
	const folder = new Folder(t);
	const queue = await openQueue(join(folder.path, 'old.db'));
	await queue.enqueue([{task: 'text', payload: 1}]);
	await queue.close();
	const used = schema();
	const other = await openQueue(used);
	await other.enqueue([{task: 'text', payload: 1}]);
	await other.close();
	folder.write('taken.db', 'no queue');
	const wrong: readonly (readonly [args: readonly string[], says: RegExp])[] = [
		[[], /required option '--from <queue>' not specified/],
		[['--from', 'old.db'], /expects either --to or --reopen/],
		[['--from', 'old.db', '--to', 'new.db', '--reopen'], /expects either --to or --reopen/],
		[['--from', 'none.db', '--to', 'new.db'], /There is no queue none\.db.* --from/],
		[['--from', 'old.db', '--to', './old.db'], /expects two different queues/],
		[['--from', 'old.db', '--to', 'taken.db'], /taken\.db is not a/],
		[['--from', 'old.db', '--to', 'none/new.db'], /The folder .*none of the database does not exist|folder/],
		[['--from', 'old.db', '--to', used], /has been used already\. A move makes a new one/],
		[['--from', 'old.db', '--to', 'postgres://faena:secret@127.0.0.1:1/jobs'], /can't be reached/],
		[['--from', 'old.db', '--reopen'], /has not moved/],
	];
	for (const [args, says] of wrong) {
		const {code, stderr} = await folder.faena('move', ...args).end();
		t.not(code, 0, args.join(' '));
		t.regex(stderr, says);
		t.notRegex(stderr, /secret|\n {4}at /);
	}
	t.deepEqual(readdirSync(folder.path).sort(), ['old.db', 'taken.db', 'trace']);
	const again = await openQueue(join(folder.path, 'old.db'));
	t.is((await again.enqueue([{task: 'text', payload: 1}])).length, 1);
	await again.close();
});

test.serial('a queue that has lost large results does not move, and can still be used', async t => {
	const folder = new Folder(t);
	folder.write('tasks.mjs', TASKS);
	const old = join(folder.path, 'old.db');
	const faena = await openOn(folder, old);
	await await faena.enqueue('bytes', 100_000);
	await faena.idle();
	await faena.close();
	rmSync(`${old}-blobs`, {recursive: true});
	await t.throwsAsync(moveQueue(old, join(folder.path, 'new.db')), {code: 'BadDatabase', message: /1 large result .* missing/});
	const queue = await openQueue(old);
	t.is((await queue.enqueue([{task: 'text', payload: 1}])).length, 1);
	await queue.close();
});

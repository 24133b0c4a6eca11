import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Outcome} from '../../../lib/job/claim.ts';
import type {FailureRecord} from '../../../lib/job/failure.ts';
import {type JobId, MAX_SUSPICION, mostTogether, suspicionAmong} from '../../../lib/job/job.ts';
import {readOpenJobs} from '../../../lib/job/open-jobs.ts';
import {makeFolder} from '../../fixtures/folder.ts';
import {SPOILERS} from '../../fixtures/spoilers.ts';
import {DISASTERS, THROWABLE, UNENCODABLE} from '../../fixtures/tasks.ts';
import {errorOf, LEASE, law, touch} from './laws.ts';

for (const name of Object.keys(DISASTERS)) {
	for (const task of ['disaster', 'disasterLater']) {
		law(`${name} in ${task === 'disaster' ? 'a' : 'an async'} task is a failure of its job alone, and the pool goes on`, async (t, crew) => {
			await crew.load({workers: 1, resourceLimits: {maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 8}});
			const [first, guilty, last] = await crew.give(task, ['none', name, 'none']);
			const [outcome] = (await crew.outcomes([guilty])) as [Outcome];
			const isLost = ['exit', 'exitLater', 'outOfMemory'].includes(name);
			t.is(outcome.type, isLost ? 'lostWorker' : 'threw');
			const {reason, message, exitCode} = errorOf(outcome);
			t.is(reason, isLost ? 'lostWorker' : 'threw');
			t.regex(message, SAYS[name] ?? /./);
			if (name.startsWith('exit')) t.is(exitCode, 7);
			t.true((outcome.durationMs ?? -1) >= 0 && (outcome.startedAt ?? 0) > 0);
			await crew.unharmed([first, last]);
			t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
		});
	}
}

const SAYS: Readonly<Record<string, RegExp>> = {
	exit: /ended with exit code 7 while it ran this job/,
	exitLater: /ended with exit code 7 while it ran this job/,
	outOfMemory: /ran out of memory while it ran this job/,
	overflow: /Maximum call stack size exceeded/,
	rejection: /nobody handles this/,
	rejectionOfAsync: /nobody handles this/,
	timer: /thrown from a timer/,
	nextTick: /thrown from a tick/,
	microtask: /thrown from a microtask/,
};

for (const [task, what] of [
	['leaveBehind', 'exit'],
	['leaveBehindLater', 'exit'],
	['leaveBehind', 'loop'],
] as const) {
	const kind = task === 'leaveBehind' ? 'a' : 'an async';
	law(
		`an ${what === 'exit' ? 'exit' : 'endless loop'} that ${kind} task left behind when it returned takes nobody's result away, and the pool goes on`,
		async (t, crew) => {
			await crew.load({workers: 1});
			t.deepEqual(await crew.values(await crew.give(task, ['nothing', what])), ['done', 'done']);
			t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
		},
	);
}

law('a job that breaks its worker is charged where no other can have done it: alone in a worker of its own', async (t, crew) => {
	await crew.load({workers: 1});
	const [guilty] = await crew.give('fallSilent', ['silent'], {quarantined: true});
	const {reason, message} = await crew.failure(guilty);
	t.is(reason, 'lostWorker');
	t.regex(message, /before it could tell how this job ended\.$/);
	t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
});

for (const [which, chunk] of [
	['one job', ['silent']],
	['several jobs', ['good', 'silent', 'good']],
	['a job and the one during which it shows', ['silent', 'long']],
] as const) {
	law(`where a worker is broken after ${which}, none is charged, and each is to run alone`, async (t, crew) => {
		await crew.load({workers: 1});
		const ids = await crew.give('fallSilent', chunk);
		for (const outcome of await crew.outcomes(ids)) t.like(outcome, {type: 'released', suspicion: MAX_SUSPICION});
		t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
	});
}

law('a job that waits in a new worker behind one which breaks it is charged nothing, and not suspected', async (t, crew) => {
	await crew.load({workers: 1});
	await crew.place({task: 'exitAsBroken', quarantined: true});
	const [guilty] = crew.giveNow('exitAsBroken', [null], {quarantined: true});
	// At once where the worker has loaded; a workforce's process may still load, and has no second place before it has.
	const [good] = await crew.give('echo', [1], {quarantined: true});
	const outcomes = await crew.outcomes([guilty, good]);
	t.not(outcomes[0]?.type, 'released');
	t.true(outcomes[1]?.type === 'returned' || (outcomes[1]?.type === 'released' && outcomes[1].suspicion === undefined), JSON.stringify(outcomes[1]));
});

for (const name of Object.keys(SPOILERS)) {
	law(`a task after which ${name} harms no more than its worker: all jobs end, none that throws completes, and close() ends`, async (t, crew) => {
		await crew.load({workers: 1, graceMs: 50, tasks: new URL('../../fixtures/spoilers.ts', import.meta.url).href});
		for (const task of ['spoil', 'spoilLater']) {
			const spoiled = await crew.give(task, ['none', name, 'none'], {policy: {timeoutMs: 2000}});
			const alone = await crew.give(task, [name], {quarantined: true, policy: {timeoutMs: 2000}});
			const failing = [...(await crew.give('fail', [1, 2])), ...(await crew.give('failLater', [1, 2]))];
			const others = await crew.give('echo', [1, 2, 3]);
			for (const outcome of await crew.outcomes(failing)) t.not(outcome?.type, 'returned');
			for (const outcome of await crew.outcomes([...spoiled, ...alone, ...others])) {
				for (const time of [outcome?.durationMs ?? 0, outcome?.startedAt ?? 0]) t.true(Number.isFinite(time) && time >= 0);
			}
		}
		t.is(crew.pool.size, 0);
		await crew.pool.close();
	});
}

law('the stack of an error ends where Faena called the task', async (t, crew) => {
	await crew.load({workers: 1, tasks: new URL('../../fixtures/spoilers.ts', import.meta.url).href});
	for (const task of ['fail', 'failLater', 'failWithOptions', 'failTogether']) {
		const {stack} = await crew.failure((await crew.give(task, [1]))[0]);
		t.regex(stack ?? '', /^RangeError: failed( later)?(\n {4}at .*\/fixtures\/spoilers\.ts:\d+:\d+\)?)+$/, task);
	}
});

law('a worker reports which jobs it has open: those of the chunk that it runs, not of the one behind it, until their outcomes are final', async (t, crew) => {
	const folder = makeFolder(t);
	const [openJobs, first, second] = ['open', 'first', 'second'].map(name => join(folder, name)) as [string, string, string];
	writeFileSync(openJobs, '', {mode: 0o600});
	await crew.load({workers: 1, openJobs});
	const running = await crew.give('wait', [first, first]);
	const behind = await crew.give('wait', [second]);
	await crew.update(({id}) => id === running[0]);
	t.deepEqual(readOpenJobs(openJobs), [{lease: LEASE, first: running[0] as JobId, last: running[1] as JobId}]);
	for (const file of [second, first]) touch(file);
	await crew.unharmed([...running, ...behind]);
	t.deepEqual(readOpenJobs(openJobs), []);
});

law('where a worker is broken after many jobs, none is charged, and at most half of them are to run together', async (t, crew) => {
	await crew.load({workers: 1});
	const ids = await crew.give('fallSilent', ['good', 'good', 'good', 'silent', ...Array(12).fill('good')]);
	const outcomes = await crew.outcomes(ids);
	t.true(outcomes.every(outcome => outcome?.type === 'released' || outcome?.type === 'returned'));
	// On a slow machine it shows before all have run, and some are reported before.
	const suspicions = outcomes.flatMap(outcome => (outcome?.type === 'released' && outcome.suspicion) || []);
	const together = mostTogether(suspicionAmong(suspicions.length));
	t.true(suspicions.length > 0 && suspicions.every(suspicion => suspicion === suspicionAmong(suspicions.length)));
	t.true(together <= Math.max(1, suspicions.length / 2));
});

law('jobs that are reported together have the mean of their processor time', async (t, crew) => {
	await crew.load({workers: 1});
	await crew.values(await crew.give('echo', Array(100).fill(1)));
	const told = crew.reports.flat().map(({outcome}) => outcome.cpuMs);
	t.is(told.length, 100);
	// Node tells it of a thread only from 23.9 on.
	if ('threadCpuUsage' in process) t.true(told.every(each => each !== undefined && each >= 0));
	// A slow worker sends them in several messages, each with its own mean.
	t.true(new Set(told).size <= 50);
});

law('messages that a task sends to its pool past its context are ignored', async (t, crew) => {
	await crew.load({workers: 1});
	t.deepEqual(await crew.values(await crew.give('postJunk', [null, null])), [9, 9]);
	t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
});

law('fake timers that a task leaves behind confuse nobody else', async (t, crew) => {
	await crew.load({workers: 1});
	const [faker] = await crew.give('fakeTimers', [null]);
	t.deepEqual(await crew.values([faker]), ['faked']);
	const ids = await crew.give('echoLater', [1, 2]);
	t.deepEqual(await crew.values(ids), [1, 2]);
	for (const id of [faker, ...ids]) {
		const {startedAt = 0, durationMs = -1} = crew.outcome(id) as Outcome;
		t.true(Math.abs(startedAt - Date.now()) < 60_000 && durationMs >= 0);
	}
	const texts = crew.updates.flatMap(({logs = []}) => logs.map(({text, at}) => (Math.abs(at - Date.now()) < 60_000 ? text : 'when?')));
	t.deepEqual(texts, ['first', 'second']);
});

law('a worker survives any number of errors that no task caught, in whatever order they come', async (t, crew) => {
	await crew.load({workers: 1});
	const names = ['none', 'nextTick', 'timer', 'microtask', 'rejectionOfAsync', 'overflow'];
	const given: {readonly id: JobId; readonly name: string}[] = [];
	for (let round = 0; round < 60; round++) {
		// Each round another order of neighbours.
		const chunk = Array.from({length: 7}, (_, index) => names[(index * (round + 1) + round) % names.length] as string);
		const ids = await crew.give(round % 2 === 0 ? 'disasterLater' : 'disaster', chunk);
		given.push(...ids.map((id, index) => ({id, name: chunk[index] as string})));
	}
	const outcomes = await crew.outcomes(given.map(({id}) => id));
	for (const [index, {name}] of given.entries()) t.is(outcomes[index]?.type, name === 'none' ? 'returned' : 'threw', name);
});

law('a rejection that surfaces after its job has ended fails nobody', async (t, crew) => {
	const file = join(makeFolder(t), 'surfaced');
	await crew.load({workers: 1});
	t.deepEqual(await crew.values([...(await crew.give('rejectAfterwards', [file])), ...(await crew.give('wait', [file, file]))]), ['done', file, file]);
});

law('whatever a task throws is recorded', async (t, crew) => {
	await crew.load({workers: 1});
	for (const task of ['throwIt', 'rejectWithIt']) {
		const names = Object.keys(THROWABLE);
		const outcomes = (await crew.outcomes(await crew.give(task, names))) as Outcome[];
		const failures = Object.fromEntries(outcomes.map((outcome, index) => [names[index], errorOf(outcome)]));
		t.true(outcomes.every(({type}) => type === 'threw'));
		t.true(Object.values<FailureRecord>(failures).every(({reason, message}) => reason === 'threw' && message.length > 0 && message.length < 20_000));
		t.like(failures, {
			null: {message: 'null'},
			undefined: {message: 'undefined'},
			string: {message: 'a string'},
			symbol: {message: 'Symbol(a symbol)'},
			bigint: {message: '5'},
			plain: {code: 'E_PLAIN', message: 'a plain object'},
			cyclic: {message: 'cyclic', causes: [{message: 'inner'}]},
			frozen: {name: 'TypeError', message: 'frozen'},
			uncloneable: {message: 'uncloneable'},
		});
	}
	t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
});

law('a result that can not be encoded, or is too large, fails its job with the reason badResult', async (t, crew) => {
	await crew.load({workers: 1, maxValueBytes: 1000});
	for (const task of ['returnIt', 'resolveWithIt']) {
		const names = Object.keys(UNENCODABLE);
		const outcomes = (await crew.outcomes(await crew.give(task, names))) as Outcome[];
		for (const [index, outcome] of outcomes.entries()) {
			t.is(outcome.type, 'threw', names[index]);
			// What throws when it is looked at for `then` is, in JavaScript, a promise that rejects.
			t.is(errorOf(outcome).reason, names[index] === 'likePromise' || names[index] === 'proxy' ? 'threw' : 'badResult', names[index]);
		}
		t.regex(errorOf(outcomes[names.indexOf('symbol')] as Outcome).message, /result\.deep\[0\] is a symbol/);
	}
	const [fits, large] = await crew.give('large', [900, 1100]);
	t.like(await crew.failure(large), {reason: 'badResult', code: 'TooLarge'});
	t.is((await crew.values([fits]))[0], 'x'.repeat(900));
});

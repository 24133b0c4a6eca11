import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import Database from 'better-sqlite3';
import {inLanes} from '../../bench/subjects/lanes.ts';
import {type Engine, open} from '../../lib/index.ts';
import {registerTasks} from '../../lib/job/task/task-module.ts';
import {makeFolder} from '../fixtures/folder.ts';

/**
 * What a job may cost in each lane, in numbers that hardly depend on the machine. A lane that falls off a cliff costs many times as much. Slow machines
 * make smaller chunks, so that the limits of lanes with large ones are a few times of what was measured.
 */

const TASKS = {
	identity: (number: number) => number,
	mostly(number: number) {
		if (number % 100 === 7) throw new Error('one in a hundred');
		return number;
	},
};
type Tasks = typeof TASKS;

interface Lane {
	readonly jobs: number;
	readonly run: (faena: Engine<Tasks>, jobs: number) => Promise<unknown>;
	/** The most statements, commits, chunks and bytes written to files, each by job. */
	readonly statements: number;
	readonly commits: number;
	readonly chunks: number;
	readonly bytes: number;
}

function* numbers(jobs: number): Generator<number> {
	for (let number = 0; number < jobs; number++) yield number;
}

const LANES: Readonly<Record<string, Lane>> = {
	'enqueueMany()': {
		...{jobs: 40_000, statements: 0.05, commits: 0.003, chunks: 0.003, bytes: 60},
		async run(faena, jobs) {
			await faena.enqueueMany('identity', numbers(jobs));
			await faena.idle();
		},
	},
	'enqueueMany() with keys': {
		...{jobs: 20_000, statements: 1.5, commits: 0.003, chunks: 0.003, bytes: 150},
		async run(faena, jobs) {
			await faena.enqueueMany('identity', numbers(jobs), {key: number => `key ${number}`});
			await faena.idle();
		},
	},
	'map() with a batch': {
		...{jobs: 40_000, statements: 0.1, commits: 0.004, chunks: 0.008, bytes: 150},
		run: (faena, jobs) => faena.map('identity', numbers(jobs), {batch: 'b'}).toArray(),
	},
	'map() with a batch, resumed': {
		...{jobs: 20_000, statements: 0.5, commits: 0.005, chunks: 0.008, bytes: 150},
		async run(faena, jobs) {
			await faena.map('identity', numbers(jobs / 2), {batch: 'b'}).toArray();
			await faena.map('identity', numbers(jobs), {batch: 'b'}).toArray();
		},
	},
	'enqueue(), 64 under way': {
		...{jobs: 6400, statements: 0.4, commits: 0.03, chunks: 0.05, bytes: 700},
		async run(faena, jobs) {
			await inLanes([...numbers(jobs)], 64, number => faena.enqueue('identity', number));
			await faena.idle();
		},
	},
	'call(), 64 under way': {
		...{jobs: 6400, statements: 0.8, commits: 0.05, chunks: 0.05, bytes: 900},
		run: (faena, jobs) => inLanes([...numbers(jobs)], 64, number => faena.call('identity', number)),
	},
	'call(), one by one': {
		...{jobs: 300, statements: 26, commits: 2.1, chunks: 1.1, bytes: 45_000},
		async run(faena, jobs) {
			for (const number of numbers(jobs)) await faena.call('identity', number);
		},
	},
	'enqueueMany() of which one in a hundred fails': {
		...{jobs: 20_000, statements: 0.3, commits: 0.004, chunks: 0.008, bytes: 200},
		async run(faena, jobs) {
			await faena.enqueueMany('mostly', numbers(jobs), {maxAttempts: 1});
			await faena.idle();
		},
	},
};

/** Counts the statements of all connections of this thread. */
function countStatements(): () => number {
	const db = new Database(':memory:');
	const prototype = Object.getPrototypeOf(db.prepare('select 1')) as Record<string, (...args: unknown[]) => unknown>;
	db.close();
	let count = 0;
	for (const method of ['run', 'get', 'all', 'iterate']) {
		const own = prototype[method] as (...args: unknown[]) => unknown;
		prototype[method] = function (...args) {
			count++;
			return own.apply(this, args);
		};
	}
	return () => count;
}

/** Bytes that this process has written; `undefined` if the system does not tell. */
function bytesWritten(): number | undefined {
	try {
		return Number(/wchar: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
	} catch {
		return undefined;
	}
}

const statements = countStatements();
const URL_OF_TASKS = 'file:///floors/tasks.js';

for (const [name, {jobs, run, ...most}] of Object.entries(LANES)) {
	test.serial(`${name}: a job costs no more statements, commits, chunks and bytes than it should`, async t => {
		registerTasks(URL_OF_TASKS, TASKS);
		// In this thread, so that statements can be counted.
		const faena = await open<Tasks>({
			queue: join(makeFolder(t), 'jobs.db'),
			tasks: new URL(URL_OF_TASKS),
			isolation: 'inline',
			workers: 1,
			durability: 'normal',
		});
		t.teardown(() => faena.close());
		// Learns how long jobs take.
		await faena.enqueueMany('identity', numbers(2000));
		await faena.idle();
		const before = {statements: statements(), ...(await faena.stats()), bytes: bytesWritten()};
		await run(faena, jobs);
		const after = {statements: statements(), ...(await faena.stats()), bytes: bytesWritten()};
		const costs = {
			statements: (after.statements - before.statements) / jobs,
			commits: (after.commits.count - before.commits.count) / jobs,
			chunks: (after.chunks.count - before.chunks.count) / jobs,
			bytes: ((after.bytes ?? 0) - (before.bytes ?? 0)) / jobs,
		};
		t.log(
			Object.entries(costs)
				.map(([what, cost]) => `${cost.toPrecision(3)} ${what}`)
				.join(', '),
		);
		for (const [what, cost] of Object.entries(costs))
			t.true(cost <= most[what as keyof typeof costs], `${cost} ${what} a job, more than ${most[what as keyof typeof costs]}`);
	});
}

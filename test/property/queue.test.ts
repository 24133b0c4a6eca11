import {copyFileSync, existsSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {env} from 'node:process';
import test from 'ava';
import type {Batch, BatchOptions} from '../../lib/job/batch.ts';
import type {Claim, Lease, OwnerId} from '../../lib/job/claim.ts';
import type {BatchId, CleanupOptions, CleanupResult, JobFilter, JobId, Page} from '../../lib/job/job.ts';
import {expandDequeued, expandNew, expandSettling} from '../../lib/job/runs.ts';
import {MemoryQueue} from '../../lib/store/memory.ts';
import {openSqlite} from '../../lib/store/sqlite/sqlite.ts';
import type {Moved, MovePage, MoveTarget, Turn, TurnResult} from '../../lib/store/store.ts';
import {tellSeed} from '../fixtures/again.ts';
import {SEED} from '../fixtures/random.ts';
import type {QueueOptions} from '../store/contract.ts';
import {checkModel, type Subject} from './queue-model.ts';

/** Of sequences. */
const runs = Number(env['FAENA_RUNS'] ?? 500);

test('whatever is done to it, and however often it is reopened, an SQLite queue tells the same as the model', async t => {
	t.timeout(Math.max(600_000, runs * 1000));
	tellSeed(t, {FAENA_RUNS: runs});
	await checkModel(sqlite, {seed: SEED, runs});
	t.pass();
});

/** What a loss of power would leave is beyond this test, and waiting for the disk would be most of its time: so in memory, where there is such a folder. */
const FOLDERS = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** Some results are large: they lie in files. */
const OPTIONS = {durability: 'normal', blobThresholdBytes: 12} as const;

/** A new database, to be copied. */
const TEMPLATE = join(mkdtempSync(join(FOLDERS, 'faena-model-')), 'jobs.db');
(await openSqlite(TEMPLATE, OPTIONS)).close();
test.after.always(() => rmSync(dirname(TEMPLATE), {recursive: true}));

function sqlite(options: QueueOptions): Subject {
	const folder = mkdtempSync(join(FOLDERS, 'faena-model-'));
	const path = join(folder, 'jobs.db');
	copyFileSync(TEMPLATE, path);
	return {
		open: () => openSqlite(path, {...options, ...OPTIONS}),
		dispose: () => rmSync(folder, {recursive: true}),
	};
}

/** Queues with a defect each. */
const DEFECTS: Readonly<Record<string, new (options: QueueOptions) => MemoryQueue>> = {
	'settles whatever the lease': class extends MemoryQueue {
		readonly #leases = new Map<JobId, Lease>();

		override turn(turn: Turn): TurnResult {
			const settle = expandSettling(turn.settle ?? []).map(each => ({...each, lease: this.#leases.get(each.id) ?? each.lease}));
			const result = super.turn({...turn, settle});
			for (const {id} of expandDequeued(result.dequeued.jobs)) this.#leases.set(id, result.dequeued.lease);
			return result;
		}
	},
	'settles whatever the execution': class extends MemoryQueue {
		override turn(turn: Turn): TurnResult {
			const settle = expandSettling(turn.settle ?? []).map(each => ({...each, execution: this.job(each.id)?.executions ?? each.execution}));
			return super.turn({...turn, settle});
		}
	},
	'drops notes': class extends MemoryQueue {
		override turn({notes: _, ...turn}: Turn): TurnResult {
			return super.turn(turn);
		}
	},
	'forgets checkpoints': class extends MemoryQueue {
		override turn({notes = [], ...turn}: Turn): TurnResult {
			return super.turn({...turn, notes: notes.map(({checkpoint: _, ...note}) => note)});
		}
	},
	'goes on after a conflict': class extends MemoryQueue {
		override turn(turn: Turn): TurnResult {
			return super.turn({...turn, rejectConflicts: false});
		}
	},
	'settles before it finds a conflict': class extends MemoryQueue {
		override turn({settle = [], ...turn}: Turn): TurnResult {
			const {settled} = super.turn({settle});
			return {...super.turn(turn), settled};
		}
	},
	'enqueues what a job makes whatever becomes of it': class extends MemoryQueue {
		override turn({settle = [], ...turn}: Turn): TurnResult {
			const settlements = expandSettling(settle);
			const made = settlements.flatMap(({outcome}) => (outcome.type === 'returned' ? (outcome.enqueue ?? []) : []));
			const outcomes = settlements.map(each => (each.outcome.type === 'returned' ? {...each, outcome: {...each.outcome, enqueue: []}} : each));
			return super.turn({...turn, settle: outcomes, enqueue: [...made, ...(turn.enqueue ?? [])]});
		}
	},
	'dequeues more bytes than demanded': class extends MemoryQueue {
		override turn({dequeue, ...turn}: Turn): TurnResult {
			return super.turn(dequeue ? {...turn, dequeue: {...dequeue, maxBytes: Infinity}} : turn);
		}
	},
	'retries what is completed': class extends MemoryQueue {
		override move(filter: JobFilter, to: MoveTarget, page?: MovePage): Moved {
			const retried = {status: ['failed', 'dead', 'cancelled', 'completed'], ...filter} as const;
			return super.move(to === 'pending' ? retried : filter, to, page);
		}
	},
	'suspects no job of an owner that died': class extends MemoryQueue {
		constructor(options: QueueOptions) {
			super({...options, openJobs: () => []});
		}
	},
	'never dequeues suspects': class extends MemoryQueue {
		override turn({dequeue, ...turn}: Turn): TurnResult {
			return super.turn(dequeue ? {...turn, dequeue: {...dequeue, tasks: dequeue.tasks.filter(({suspects}) => !suspects)}} : turn);
		}
	},
	'lets any number of jobs run': class extends MemoryQueue {
		override turn({dequeue, ...turn}: Turn): TurnResult {
			return super.turn(dequeue ? {...turn, dequeue: {...dequeue, tasks: dequeue.tasks.map(({concurrency: _, ...each}) => each)}} : turn);
		}
	},
	'ignores pausing': class extends MemoryQueue {
		override pause(): void {}
	},
	'forgets whom to stop': class extends MemoryQueue {
		override stops(): readonly Claim[] {
			return [];
		}
	},
	'tells no owner that it was given up': class extends MemoryQueue {
		override heartbeat(owner: OwnerId): boolean {
			super.heartbeat(owner);
			return true;
		}
	},
	'gives owners up a millisecond early': class extends MemoryQueue {
		constructor(options: QueueOptions) {
			super({...options, leaseMs: options.leaseMs - 1});
		}
	},
	'does not jitter': class extends MemoryQueue {
		constructor(options: QueueOptions) {
			super({...options, random: () => 0});
		}
	},
	'cleans up open batches': class extends MemoryQueue {
		override openBatch(name: string, task: string, owner: OwnerId): BatchId {
			const batch = super.openBatch(name, task, owner);
			super.closeBatch(batch, owner);
			return batch;
		}
	},
	'gives a batch to two owners': class extends MemoryQueue {
		override openBatch(name: string, task: string, owner: OwnerId, options?: BatchOptions): BatchId {
			for (const {id} of super.batches()) for (const other of ['owner-1', 'owner-2']) super.leaveBatch(id, other);
			return super.openBatch(name, task, owner, options);
		}
	},
	'counts only what a batch had when it was made': class extends MemoryQueue {
		override batches(): readonly Batch[] {
			return super.batches().map(batch => ({...batch, counts: {pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0}}));
		}
	},
	'completes a batch whose input goes on': class extends MemoryQueue {
		override openBatch(name: string, task: string, owner: OwnerId, options?: BatchOptions): BatchId {
			const batch = super.openBatch(name, task, owner, options);
			super.endInput(batch, 0, owner);
			return batch;
		}
	},
	'forgets to withdraw what runs': class extends MemoryQueue {
		override move(filter: JobFilter, to: MoveTarget, page?: MovePage): Moved {
			if (to !== 'discarded') return super.move(filter, to, page);
			const asked = this.jobs({...filter, status: 'running'}).map(({id}) => id);
			return {...super.move({status: ['pending', 'failed'], ...filter}, to, page), asked};
		}
	},
	'moves the jobs of a page that it was not to pass': class extends MemoryQueue {
		override move(filter: JobFilter, to: MoveTarget, page?: MovePage): Moved {
			return super.move(filter, to, {...page, upTo: Number.MAX_SAFE_INTEGER});
		}
	},
	'begins pages of what it moves with the last job of the page before': class extends MemoryQueue {
		override move(filter: JobFilter, to: MoveTarget, {after = 0, ...page}: MovePage = {}): Moved {
			return super.move(filter, to, {...page, after: after - 1});
		}
	},
	'reruns nothing': class extends MemoryQueue {
		override turn({enqueue = [], ...turn}: Turn): TurnResult {
			return super.turn({...turn, enqueue: expandNew(enqueue).map(({rerun: _, ...job}) => job)});
		}
	},
	'cleans up what ended just now': class extends MemoryQueue {
		override cleanup({endedBefore, ...options}: CleanupOptions): CleanupResult {
			return super.cleanup({...options, endedBefore: endedBefore + 1});
		}
	},
	'begins pages with the last job of the page before': class extends MemoryQueue {
		override jobs(filter: JobFilter, {after = 0, ...page}: Page = {}): ReturnType<MemoryQueue['jobs']> {
			return super.jobs(filter, {...page, after: after - 1});
		}
	},
};

for (const [defect, Broken] of Object.entries(DEFECTS)) {
	test(`the model finds a queue that ${defect}`, async t => {
		const check = checkModel(options => ({open: () => new Broken(options)}), {seed: SEED, runs: 5000, isDurable: false, endOnFailure: true});
		await t.throwsAsync(check, {message: /Counterexample/});
	});
}

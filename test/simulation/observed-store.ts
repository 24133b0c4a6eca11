import type {BatchId, CompletedBatch} from '../../lib/job/batch.ts';
import type {OwnerId} from '../../lib/job/claim.ts';
import {settlementsOf} from '../../lib/job/groups/single-jobs.ts';
import type {JobId} from '../../lib/job/job.ts';
import {type NewJob, toCompletionJob} from '../../lib/job/new-job.ts';
import type {JobFilter, MoveTarget} from '../../lib/job/search.ts';
import type {Deleted} from '../../lib/store/deletions.ts';
import type {BatchChange, Changes, Committed, Moved, MovePage, News, ReleaseOptions, Store} from '../../lib/store/store.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import type {Ledger} from './ledger.ts';
import {isRefused, onCompleteOf, TASKS} from './plans.ts';
import type {Actor, Scheduler} from './scheduler.ts';

export interface Observation {
	readonly actor: Actor;
	readonly scheduler: Scheduler;
	readonly ledger: Ledger;
	readonly isCalm: () => boolean;
	/** All processes that live or lived, for what a reclaim took. */
	readonly everybody: () => readonly Actor[];
}

/** What the store has told since the last commit. */
interface Heard {
	readonly completed: CompletedBatch[];
	/** Jobs that were cancelled because of a parent. */
	readonly lost: JobId[];
}

type Verb = (...args: unknown[]) => Promise<unknown>;

/**
 * The store as its dispatcher sees it: at times slow, so that others come between a call, its commit and its answer, and at
 * times failing, before its commit or after it. The ledger hears of each commit, in the order of the commits.
 */
export function observe(store: Store, observation: Observation): Store {
	const heard: Heard = {completed: [], lost: []};
	const note = (news: News) => {
		if (news.type === 'batchCompleted') heard.completed.push(news);
		if (news.type === 'childrenCancelled') heard.lost.push(...news.ids);
	};
	const stopNoting = store.listen(undefined, note);
	return new Proxy(store, {
		get(target, name) {
			const value: unknown = Reflect.get(target, name, target);
			if (typeof value !== 'function') return value;
			const verb = value.bind(target) as Verb;
			// From then on what the dispatcher hears is noted.
			if (name === 'listen') return listening(target, note, stopNoting);
			if (name === 'close') return (...args: unknown[]) => commit('close', args, verb, heard, observation);
			if (!OBSERVED.has(name as string)) return verb;
			const run = async (...args: unknown[]) => {
				if (name === 'commit' && isSettlingRefused(args[0] as Changes)) throw new FaenaError('BadRow', 'What a job returned is refused.');
				if (name === 'commit' && isClaimRefused(args[0] as Changes, observation)) throw new FaenaError('BadRow', 'A row is in the way of a task.');
				return commit(name as string, args, verb, heard, observation);
			};
			return (...args: unknown[]) => answer(name as string, () => run(...args), observation);
		},
	});
}

function listening(store: Store, note: (news: News) => void, stopNoting: () => void): Store['listen'] {
	return (owner, listener) => {
		stopNoting();
		return store.listen(owner, news => {
			note(news);
			return listener(news);
		});
	};
}

/** The store refuses what some jobs return, whenever it is given. */
function isSettlingRefused({settle = []}: Changes): boolean {
	return settle.some(group => [...settlementsOf(group)].some(({id, outcome}) => outcome.type === 'returned' && isRefused(id)));
}

/** At times a row is in the way of all jobs of a task. */
function isClaimRefused({claim}: Changes, {scheduler, isCalm}: Observation): boolean {
	const held = TASKS[Math.floor(scheduler.steadyMs / 1000) % (3 * TASKS.length)]?.name;
	return !isCalm() && (claim?.lanes ?? []).some(({task, limit}) => limit > 0 && task === held);
}

/** What a dispatcher looks up by itself, and looks up again if that fails. */
const LOOKS: ReadonlySet<string> = new Set(['outcomes', 'counts']);

/** What is slow or fails now and then. */
const OBSERVED: ReadonlySet<string> = new Set([
	...['commit', 'move', 'setPaused', 'heartbeat', 'reclaim', 'release', 'delete', 'openBatch', 'updateBatch', 'jobs'],
	...LOOKS,
]);

async function answer(name: string, run: () => Promise<unknown>, {actor, scheduler, isCalm}: Observation): Promise<unknown> {
	const {chance} = scheduler;
	if (isCalm() || !chance.is(0.1)) return run();
	if (name === 'commit' && chance.is(0.1)) {
		scheduler.trace(actor, 'a commit fails');
		throw new FaenaError('StorageFull', 'The disk is full.');
	}
	if (LOOKS.has(name) && chance.is(0.1)) {
		scheduler.trace(actor, `a look fails: ${name}`);
		throw new FaenaError('DatabaseBusy', 'The database is locked.');
	}
	if (name === 'commit' && chance.is(0.1)) {
		await run();
		scheduler.trace(actor, 'a commit fails after it took effect');
		throw new FaenaError('OutcomeUnknown', 'The disk did not say.');
	}
	return new Promise((resolve, reject) => {
		scheduler.schedule(actor, chance.ms(100), 'commit', `${name}, late`, () => {
			run().then(result => scheduler.schedule(actor, chance.ms(50), 'delivery', `answer to ${name}, late`, () => resolve(result)), reject);
		});
	});
}

async function commit(name: string, args: unknown[], verb: Verb, {completed, lost}: Heard, {actor, ledger, everybody}: Observation): Promise<unknown> {
	// So that few jobs make several pages.
	if (name === 'move') args[2] = {limit: 3, ...(args[2] as MovePage)};
	const owners = name === 'reclaim' ? new Set(ledger.owners) : undefined;
	const result = await verb(...args);
	if (owners) ledger.reclaimed(everybody().filter(other => owners.has(other.name)));
	else TELL[name]?.(ledger, actor, args as never, result as never, LOSES.has(name) ? lost.splice(0) : []);
	if (LOSES.has(name)) ledger.lost(lost.splice(0));
	const batches = completed.splice(0);
	ledger.completed(
		batches,
		batches.flatMap(({batch, counts}): NewJob[] => {
			const job = onCompleteOf(batch);
			return job ? [toCompletionJob(job, {batch, counts})] : [];
		}),
	);
	return result;
}

/** Verbs that may cancel children. Two verbs may be under way at once, and another one must not take what these have lost. */
const LOSES: ReadonlySet<string> = new Set(['commit', 'move', 'release', 'reclaim', 'delete', 'updateBatch', 'close']);

/** Tells the ledger what a verb did. */
const TELL: Readonly<Record<string, (ledger: Ledger, actor: Actor, args: never, result: never, lost: readonly JobId[]) => void>> = {
	commit: (ledger, actor, [changes]: [Changes], result: Committed, lost) => ledger.committed(actor, changes, result, lost),
	move: (ledger, _, [filter, to, page]: [JobFilter, MoveTarget, MovePage], result: Moved, lost) => {
		ledger.moved(filter, to, page, result);
		ledger.lost(lost);
	},
	setPaused: (ledger, _, [tasks, isPaused]: [readonly string[], boolean]) => ledger.paused(tasks, isPaused),
	heartbeat: (ledger, {name}, _, result: 'alive' | 'fenced') => result === 'alive' && ledger.beat(name),
	openBatch: (ledger, {name}) => ledger.registered(name),
	updateBatch: (ledger, {name}, [batch, , change]: [BatchId, OwnerId, BatchChange], isDone: boolean) => {
		ledger.registered(name);
		if (isDone && 'flowJobs' in change) ledger.sealed(batch);
	},
	release: (ledger, actor, [, {after = 0} = {}]: [string, ReleaseOptions?], _, lost) => {
		ledger.released(actor, after);
		ledger.lost(lost);
	},
	close: (ledger, actor) => ledger.released(actor, 0),
	delete: (ledger, _, [what]: [object], {deleted}: Deleted, lost) => {
		ledger.deleted(deleted, 'batch' in what ? ['pending', 'failed', ...ENDED] : ENDED);
		ledger.lost(lost);
	},
};

const ENDED = ['completed', 'dead', 'cancelled'] as const;

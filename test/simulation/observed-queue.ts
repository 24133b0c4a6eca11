import type {CompletedBatch} from '../../lib/job/batch.ts';
import type {Lease} from '../../lib/job/claim.ts';
import type {JobFilter} from '../../lib/job/job.ts';
import type {NewJob} from '../../lib/job/new-job.ts';
import {expandSettling} from '../../lib/job/runs.ts';
import {type JobQueue, type Moved, type MovePage, type MoveTarget, type Turn, type TurnResult, toCompletionJob} from '../../lib/store/store.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import type {Ledger} from './ledger.ts';
import {isRefused, onCompleteOf, TASKS} from './plans.ts';
import type {Actor, Scheduler} from './scheduler.ts';

export interface Observation {
	readonly actor: Actor;
	readonly scheduler: Scheduler;
	readonly ledger: Ledger;
	readonly isCalm: () => boolean;
	/** Whoever is alive or was, for what a recovery took. */
	readonly everybody: () => readonly Actor[];
}

type Method = (...args: never[]) => Promise<unknown>;

/**
 * The queue as its dispatcher sees it: at times slow, so that others come between a call, its commit and its answer, and at
 * times failing, before its commit or after it. The ledger hears of each commit, in the order of the commits.
 */
export function observe(queue: JobQueue, observation: Observation): JobQueue {
	const completed: CompletedBatch[] = [];
	queue.onBatchCompleted(batch => completed.push(batch));
	return new Proxy(queue, {
		get(target, name) {
			const value: unknown = Reflect.get(target, name, target);
			if (typeof value !== 'function') return value;
			const method = (value as Method).bind(target) as (...args: unknown[]) => Promise<unknown>;
			if (!OBSERVED.has(name as string)) return method;
			const run = async (...args: unknown[]) => {
				if (name === 'turn' && isTurnRefused(args[0] as Turn)) throw new FaenaError('BadRow', 'What a job returned is refused.');
				if (name === 'turn' && isDequeueRefused(args[0] as Turn, observation)) throw new FaenaError('BadRow', 'A row is in the way of a task.');
				return commit(name as string, args, method, completed, observation);
			};
			return (...args: unknown[]) => answer(name as string, () => run(...args), observation);
		},
	});
}

/** The store refuses what some jobs return, whenever it is given. */
function isTurnRefused({settle = []}: Turn): boolean {
	return expandSettling(settle).some(({id, outcome}) => outcome.type === 'returned' && isRefused(id));
}

/** At times a row is in the way of all jobs of a task. */
function isDequeueRefused({dequeue}: Turn, {scheduler, isCalm}: Observation): boolean {
	const held = TASKS[Math.floor(scheduler.steadyMs / 1000) % (3 * TASKS.length)]?.name;
	return !isCalm() && (dequeue?.tasks ?? []).some(({task, limit}) => limit > 0 && task === held);
}

/** What a dispatcher looks up by itself, and looks up again if that fails. */
const LOOKS: ReadonlySet<string> = new Set(['stops', 'ends', 'outstanding']);

/** What is slow or fails now and then; what is not named here answers at once, as SQLite does. */
const OBSERVED: ReadonlySet<string> = new Set([
	...[
		'turn',
		'move',
		'pause',
		'resume',
		'heartbeat',
		'recover',
		'giveBack',
		'leave',
		'cleanup',
		'deleteBatch',
		'endInput',
		'closeBatch',
		'leaveBatch',
		'openBatch',
	],
	...LOOKS,
	'job',
]);

async function answer(name: string, run: () => Promise<unknown>, {actor, scheduler, isCalm}: Observation): Promise<unknown> {
	const {chance} = scheduler;
	if (isCalm() || !chance.is(0.1)) return run();
	if (name === 'turn' && chance.is(0.1)) {
		scheduler.trace(actor, 'a turn fails');
		throw new FaenaError('StorageFull', 'The disk is full.');
	}
	if (LOOKS.has(name) && chance.is(0.1)) {
		scheduler.trace(actor, `a look fails: ${name}`);
		throw new FaenaError('DatabaseBusy', 'The database is locked.');
	}
	if (name === 'turn' && chance.is(0.1)) {
		await run();
		scheduler.trace(actor, 'a turn fails after its commit');
		throw new FaenaError('OutcomeUnknown', 'The disk did not say.');
	}
	return new Promise((resolve, reject) => {
		scheduler.schedule(actor, chance.ms(100), 'commit', `${name}, late`, () => {
			run().then(result => scheduler.schedule(actor, chance.ms(50), 'delivery', `answer to ${name}, late`, () => resolve(result)), reject);
		});
	});
}

async function commit(
	name: string,
	args: unknown[],
	method: (...args: unknown[]) => Promise<unknown>,
	completed: CompletedBatch[],
	{actor, ledger, everybody}: Observation,
): Promise<unknown> {
	// So that few jobs make several pages.
	if (name === 'move') args[2] = {limit: 3, ...(args[2] as MovePage)};
	const owners = name === 'recover' ? new Set(ledger.owners) : undefined;
	const result = await method(...args);
	const [first] = args;
	if (name === 'turn') ledger.turned(actor, first as Turn, result as TurnResult);
	else if (name === 'move') ledger.moved(first as JobFilter, args[1] as MoveTarget, args[2] as MovePage, result as Moved);
	else if (name === 'pause') ledger.paused(first as readonly string[]);
	else if (name === 'resume') ledger.resumed(first as readonly string[]);
	else if (name === 'heartbeat') ledger.beat(actor.name);
	else if (owners) ledger.recovered(everybody().filter(other => owners.has(other.name)));
	else if (name === 'giveBack') ledger.givenBack(actor, args[1] as Lease);
	else if (name === 'leave') ledger.givenBack(actor, 0);
	else if (name === 'cleanup') ledger.deleted((result as {deleted: number}).deleted, ['completed', 'dead', 'cancelled']);
	else if (name === 'deleteBatch') ledger.deleted((result as {deleted: number}).deleted, ['pending', 'failed', 'completed', 'dead', 'cancelled']);
	const batches = completed.splice(0);
	ledger.completed(
		batches,
		batches.flatMap((batch): NewJob[] => {
			const job = onCompleteOf(batch.batch);
			return job ? [toCompletionJob(job, batch)] : [];
		}),
	);
	return result;
}

/** What programs give to the verbs of a JobQueue, with its checks, since TypeScript does not see what JavaScript passes; and what they get. */

import {isDeepStrictEqual} from 'node:util';
import type {BatchId, BatchOptions} from '../job/batch.ts';
import {argument, bad, boolean, type Check, type Checks, checked, choice, integer, kind, list, number, type Size, size, text} from '../job/checks.ts';
import type {Claim, ClaimedJob, Lease, Outcome, OwnerId, Settlement, Timing} from '../job/claim.ts';
import {decode, type Encoded, encode, MAX_VALUE_LIMIT_BYTES} from '../job/encoding.ts';
import {fromFailure, type JobError, toFailure, withExecution} from '../job/failure.ts';
import {toOnDead} from '../job/groups/dead-jobs.ts';
import type {NewGroup} from '../job/groups/group.ts';
import {pack} from '../job/groups/packed.ts';
import {type JobEnd, type JobId, MAX_SUSPICION} from '../job/job.ts';
import type {JobBuilder, NewJob, Rerun} from '../job/new-job.ts';
import {checkJobOptions, checkKey, resolveUnknown} from '../job/options.ts';
import type {Policy} from '../job/policy.ts';
import type {Page} from '../job/search.ts';
import type {JobOptions} from '../job/task/task.ts';
import {defined} from '../support/defined.ts';

/** A job for `JobQueue.enqueue`: its task, its payload, and its options. What is left out has the default of `open()`, or that of its task where it runs.
 * @example const job: QueueJob = {task: 'resize', payload: 'a.png', maxAttempts: 5}; */
export interface QueueJob extends JobOptions {
	/** The name of the function to run. */
	readonly task: string;
	/** Its argument: any value that can be a payload. */
	readonly payload?: unknown;
	/** The id of the batch that it belongs to. */
	readonly batch?: BatchId;
	/** When an existing job with the key gets a new round; default: never. */
	readonly rerun?: Rerun;
}

/** How an execution ended, for `JobQueue.settle`. What is thrown counts as an attempt, a cancelled or released execution does not.
 * @example const outcome: QueueOutcome = {type: 'returned', value: 42}; */
export type QueueOutcome = Timing &
	(
		| {readonly type: 'returned'; readonly value?: unknown}
		| {readonly type: 'threw' | 'timedOut' | 'lostWorker'; readonly error: unknown}
		| {readonly type: 'cancelled'}
		/** `suspicion`: from 1 to 10, the more likely the job ended its program. Engines run it in a child process, at 10 alone. */
		| {readonly type: 'released'; readonly suspicion?: number}
	);

/** Which jobs `JobQueue.dequeue` claims. @example const options: DequeueOptions = {owner: 'me', tasks: ['resize'], limit: 10}; */
export interface DequeueOptions {
	/** The owner of the claims, such as a nanoid. The first claim registers it. */
	readonly owner: OwnerId;
	/** Names of tasks; default all with jobs that have not ended. */
	readonly tasks?: readonly string[];
	/** The scopes whose jobs are claimed, besides jobs without a scope; default none. */
	readonly scopes?: readonly string[];
	/** Default 1. */
	readonly limit?: number;
	/** The claim ends with the job whose payload brings the total to this size, encoded: bytes, or a text such as `'1mib'`. Default: no limit. */
	readonly maxSize?: Size;
}

/** A job after `JobQueue.enqueue`. @example const [first]: readonly Enqueued[] = await queue.enqueue([{task: 'resize', payload: 'a.png'}]); */
export interface Enqueued {
	/** The id of the new or existing job. */
	readonly id: JobId;
	/** True if this is an earlier job with the same key. Its payload is the same, or {@link QueueJob.rerun} allowed to replace it. */
	readonly reused: boolean;
}

/** The jobs that one transaction claimed. @example const {lease, jobs}: Dequeued = await queue.dequeue({owner: 'me'}); */
export interface Dequeued {
	/** 0 if no job was dequeued. */
	readonly lease: Lease;
	/** By priority, then in order of arrival. */
	readonly jobs: readonly DequeuedJob[];
}

/** A job that `dequeue()` has claimed. `complete()` and `fail()` take it. @example const run = ({task, payload}: DequeuedJob) => console.log(task, payload); */
export interface DequeuedJob
	extends Claim,
		Omit<ClaimedJob, 'payload' | 'policy' | 'checkpoint'>,
		Pick<Policy, 'maxAttempts' | 'timeoutMs' | 'timeoutPercent' | 'onDead'> {
	/** The task's argument. */
	readonly payload: unknown;
	/** The state that an earlier execution kept by `ctx.checkpoint()`. */
	readonly checkpoint?: unknown;
}

/** Payload, result and checkpoint of a job. @example const {payload, result}: Partial<QueueValues> = (await queue.values(17)) ?? {}; */
export interface QueueValues {
	/** The task's argument. */
	readonly payload: unknown;
	/** The result of a completed job. */
	readonly result?: unknown;
	/** The state from which its next execution goes on, which execution kept it, and when, in milliseconds since 1970. */
	readonly checkpoint?: {readonly execution: number; readonly at: number; readonly state: unknown};
}

/** How a job ended. @example const [end]: readonly QueueEnd[] = await queue.outcomes([17]); */
export interface QueueEnd extends Omit<JobEnd, 'result' | 'error'> {
	/** The result of a completed job. */
	readonly result?: unknown;
	/** Why it is dead or cancelled, if that is known. */
	readonly error?: JobError;
}

export function toEnd({result, error, ...end}: JobEnd): QueueEnd {
	return {...end, ...(end.status === 'completed' && {result: decode(result)}), ...(error && {error: fromFailure(error)})};
}

export const positive = integer(1, Number.MAX_SAFE_INTEGER);
export const texts = listOf<string>(text);
export const idList = listOf<JobId>(positive);
export const notNegative = integer(0, Number.MAX_SAFE_INTEGER);
/** The most jobs or bytes of one call. */
const limit = (value: unknown): number => (value === Infinity ? Number.MAX_SAFE_INTEGER : notNegative(value));

const QUEUE_JOB_CHECKS: Checks = {
	task: text,
	payload: value => value,
	batch: positive,
	rerun: value => required('enqueue({rerun})', value, {changed: boolean, failed: boolean}),
};

/** Puts consecutive jobs that differ only in their payloads and keys into one group. @throws FaenaError `BadOption`, `NotEncodable`, `TooLarge` */
export function toGroups(builder: JobBuilder, jobs: unknown): NewGroup[] {
	const groups: {readonly first: QueueJob; readonly options: Omit<NewJob, 'payload' | 'key'>; readonly payloads: Encoded[]; readonly keys: string[]}[] = [];
	for (const job of argument('enqueue()', 'jobs', jobs, list) as QueueJob[]) {
		const last = groups.at(-1);
		const group = last && areAlike(last.first, job) ? last : {first: job, options: toOptions(builder, job), payloads: [], keys: []};
		if (group !== last) groups.push(group);
		group.payloads.push(builder.encode(job.payload));
		if (job.key !== undefined) group.keys.push(checkKey('enqueue()', job.key));
	}
	return groups.map(({options, payloads, keys}) => ({...options, values: pack(payloads), ...(keys.length > 0 && {keys: pack(keys)})}));
}

function toOptions(builder: JobBuilder, job: QueueJob): Omit<NewJob, 'payload' | 'key'> {
	builder.refuseForeign('enqueue() in dependsOn', job?.dependsOn);
	const {task, payload: _, batch, rerun, ...given} = checkJobOptions<QueueJob>('enqueue()', job, QUEUE_JOB_CHECKS);
	if (given.unique && batch !== undefined) throw bad("enqueue() got unique with a batch, where a key names an item: an item's job is its only one");
	if (given.unique && rerun) throw bad('enqueue() got both unique and rerun; unique makes a new job, rerun begins a new round of the one there is');
	const {key: __, ...options} = builder.resolveChecked('enqueue()', task, given);
	return {...options, task, ...defined({batch, rerun})};
}

/** True for jobs with the same options. Only the first of them is checked: to check each would take as long as to enqueue it. */
function areAlike(one: object, other: unknown): boolean {
	if (typeof other !== 'object' || other === null) return false;
	const known = one as Record<string, unknown>;
	const given = other as Record<string, unknown>;
	const names = Object.keys(given);
	if (names.length !== Object.keys(known).length) return false;
	return names.every(name => {
		if (!Object.hasOwn(known, name)) return false;
		if (name === 'payload') return true;
		if (name === 'key') return (known[name] === undefined) === (given[name] === undefined);
		// Handles of jobs are compared by identity.
		return known[name] === given[name] || (name !== 'dependsOn' && isDeepStrictEqual(known[name], given[name]));
	});
}

/** @throws FaenaError `BadOption` */
export function checkBatchOptions(options: unknown): BatchOptions {
	const onComplete = (value: unknown): NonNullable<BatchOptions['onComplete']> => {
		const {task, ...given} = checkJobOptions<{task: string}>('openBatch({onComplete})', value, {task: text});
		const {scope, priority, policy} = resolveUnknown(given);
		return {task: argument('openBatch({onComplete})', 'task', task, text), priority, policy, ...defined({scope})};
	};
	return checked('openBatch()', options, {onComplete});
}

/** Checks options that must all be given. */
function required<Result = Record<string, unknown>>(where: string, options: unknown, checks: Checks, names = Object.keys(checks)): Result {
	const given = checked(where, options, checks);
	for (const name of names) if (!(name in given)) argument(where, name, undefined, checks[name] as Check);
	return given as Result;
}

const DEQUEUE_CHECKS: Checks = {owner: text, tasks: texts, scopes: texts, limit, maxSize: size};

/** What {@link DequeueOptions} say, for a store. */
export interface CheckedDequeue extends Omit<DequeueOptions, 'maxSize'> {
	/** In bytes. */
	readonly maxBytes?: number;
}

/** @throws FaenaError `BadOption` */
export function checkDequeue(options: unknown): CheckedDequeue {
	const {maxSize, ...given} = required<Omit<DequeueOptions, 'maxSize'> & {maxSize?: number}>('dequeue()', options, DEQUEUE_CHECKS, ['owner']);
	return {...given, ...(maxSize !== undefined && {maxBytes: maxSize})};
}

const aClaim = kind<Partial<Claim>>('an object with id, lease and execution', value => typeof value === 'object' && value !== null);

/** Checks what names an execution, such as a job of `dequeue()`. @throws FaenaError `BadOption` */
export function checkClaim(where: string, claim: unknown): Claim {
	const {id, lease, execution} = argument(where, 'claim', claim, aClaim);
	for (const [name, value] of Object.entries({id, lease, execution})) argument(where, name, value, positive);
	return {id, lease, execution} as Claim;
}

const outcomeType = choice(...(['returned', 'threw', 'timedOut', 'lostWorker', 'cancelled', 'released'] satisfies Outcome['type'][]));

/**
 * Checks outcomes, and makes records of them, which tell when and where a job failed.
 * @throws FaenaError `BadOption`, `NotEncodable`, `TooLarge`
 */
export function toSettlements(lease: unknown, outcomes: unknown, of: {readonly at: number; readonly worker: string}): Settlement[] {
	return argument('settle()', 'outcomes', outcomes, list).map(each => {
		const {outcome: given, ...job} = Object(each) as Partial<DequeuedJob & {readonly outcome: QueueOutcome}>;
		argument('settle()', "an outcome's type", Object(given).type, outcomeType);
		const claim = checkClaim('settle()', {...job, lease});
		const outcome = toOutcome(given as QueueOutcome, of);
		const told = job.onDead !== undefined && 'error' in outcome && outcome.error && {onDead: toOnDead(job.onDead, job as DequeuedJob, outcome.error)};
		return {...claim, worker: of.worker, outcome: {...outcome, ...told}};
	});
}

function toOutcome(outcome: QueueOutcome, of: {readonly at: number; readonly worker: string}): Outcome {
	const times = timesOf(outcome);
	if (outcome.type === 'returned') return {...times, type: 'returned', value: encode(outcome.value, 'result', MAX_VALUE_LIMIT_BYTES)};
	if ('error' in outcome) return {...times, type: outcome.type, error: withExecution(toFailure(outcome.error, outcome.type), of)};
	if (outcome.type === 'cancelled') return {...times, type: 'cancelled'};
	const {suspicion} = checked('settle()', {suspicion: outcome.suspicion}, SUSPICION) as {readonly suspicion?: number};
	return {...times, type: 'released', ...(suspicion !== undefined && {suspicion})};
}

const SUSPICION: Checks = {suspicion: integer(0, MAX_SUSPICION)};
const measured = number(0, Number.MAX_SAFE_INTEGER);

/** The times of an outcome. Its start, which `performance.now()` gives with a fraction, and its memory are stored as whole numbers. */
function timesOf(outcome: Timing): Timing {
	const times: Partial<Record<keyof Timing, number>> = {};
	for (const name of ['startedAt', 'durationMs', 'cpuMs', 'memoryBytes'] as const) {
		if (outcome[name] === undefined) continue;
		const value = argument('settle()', `an outcome's ${name}`, outcome[name], measured) as number;
		times[name] = name === 'startedAt' || name === 'memoryBytes' ? Math.round(value) : value;
	}
	return times;
}

/** @throws FaenaError `BadOption` */
export function checkPage(where: string, page: Page): Page {
	return checked(where, page, {after: notNegative, limit});
}

function listOf<Each>(check: Check): (value: unknown) => readonly Each[] {
	return value => list(value).map(check) as Each[];
}

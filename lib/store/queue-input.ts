/** What programs give to the verbs of a JobQueue, and its checks: TypeScript does not see what JavaScript passes. */

import type {BatchOptions} from '../job/batch.ts';
import {
	argument,
	atLeast,
	bad,
	boolean,
	type Check,
	type Checks,
	checked,
	choice,
	duration,
	integer,
	kind,
	list,
	number,
	string,
	text,
	time,
} from '../job/checks.ts';
import type {Claim, Outcome, OwnerId, Settlement, Timing} from '../job/claim.ts';
import type {Encoded} from '../job/encoding.ts';
import {toFailure} from '../job/failure.ts';
import type {NewGroup} from '../job/groups/group.ts';
import {pack} from '../job/groups/packed.ts';
import {haveSameOptions} from '../job/groups/single-jobs.ts';
import type {JobEdit, JobId} from '../job/job.ts';
import type {NewJob} from '../job/new-job.ts';
import {BACKOFF_CHECKS, DEFAULT_POLICY, EXECUTION_CHECKS, percentOfMedian, timeoutMs, withOwn} from '../job/options.ts';
import {type Backoff, forPolicyNumbers, POLICY_OPTIONS, type Policy} from '../job/policy.ts';
import type {Page} from '../job/search.ts';

/** A job for `JobQueue.enqueue`. What is left out, also of the policy, has the default of `open()`; a job without a policy has its task's own where it runs. */
export interface QueueJob extends Pick<NewJob, 'task' | 'payload'>, Partial<Omit<NewJob, 'task' | 'payload' | 'policy'>> {
	/** How often and how long it may run. */
	readonly policy?: Partial<Omit<Policy, 'backoff'>> & {readonly backoff?: Partial<Backoff>};
}

/** Which jobs `JobQueue.dequeue` claims. */
export interface DequeueOptions {
	/** The owner of the claims, such as a nanoid. The first claim registers it. */
	readonly owner: OwnerId;
	/** Names of tasks; default all with jobs that have not ended. */
	readonly tasks?: readonly string[];
	/** The scopes whose jobs are claimed, besides jobs without a scope; default none. */
	readonly scopes?: readonly string[];
	/** Default 1. */
	readonly limit?: number;
	/** The claim ends with the job whose payload brings the total to this size. Default: no limit. */
	readonly maxBytes?: number;
}

export const positive = integer(1, Number.MAX_SAFE_INTEGER);
export const encoded = kind<Encoded>(
	"what encode() returns: a text that is not empty, bytes, or null; write encode(value, 'payload')",
	value => value === null || (typeof value === 'string' && value !== '') || value instanceof Uint8Array,
);
export const texts = listOf<string>(text);
export const idList = listOf<JobId>(positive);
export const notNegative = integer(0, Number.MAX_SAFE_INTEGER);
/** The most jobs or bytes of one call. */
const limit: Check = value => (value === Infinity ? Number.MAX_SAFE_INTEGER : notNegative(value));

const {priority, retry} = EXECUTION_CHECKS;
const {base: baseMs, max: maxMs, ...shape} = BACKOFF_CHECKS;
const POLICY_CHECKS: Checks = {
	...forPolicyNumbers(name => EXECUTION_CHECKS[name]),
	timeoutMs: value => (value === null ? null : timeoutMs(value)),
	timeoutPercent: percentOfMedian,
	retry,
	unset: listOf(choice(...POLICY_OPTIONS)),
	backoff: value => ({...DEFAULT_POLICY.backoff, ...checked('policy.backoff', value, {baseMs, maxMs, ...shape})}),
};

const NEW_JOB_CHECKS: Checks = {
	task: text,
	scope: text,
	payload: encoded,
	priority,
	runAt: value => (value === null ? null : time(value)),
	delayMs: duration,
	expiresMs: atLeast(1),
	key: string,
	unique: choice('unended'),
	// Checked once for all jobs that share it.
	policy: value => value,
	batch: positive,
	rerun: value => required('enqueue({rerun})', value, {changed: boolean, failed: boolean}),
};

/** Puts consecutive jobs that differ only in their payloads into one group. @throws FaenaError `BadOption` */
export function toCheckedGroups(jobs: unknown): NewGroup[] {
	const policies = new Map<unknown, Policy>([[undefined, DEFAULT_POLICY]]);
	const policyOf = (given: unknown): Policy => {
		const known = policies.get(given) ?? toPolicy('enqueue({policy})', given);
		policies.set(given, known);
		return known;
	};
	const optionsOf = (job: QueueJob) => {
		const {payload: _, key: __, ...given} = required<QueueJob>('enqueue()', job, NEW_JOB_CHECKS, ['task', 'payload']);
		if (given.delayMs !== undefined && typeof given.runAt === 'number') throw bad('enqueue() got both delayMs and runAt; give one of them');
		if (given.unique !== undefined) checkUnique(job);
		return {priority: 0, runAt: null, ...given, policy: policyOf(given.policy)};
	};
	const groups: {readonly first: QueueJob; readonly options: ReturnType<typeof optionsOf>; readonly payloads: Encoded[]; readonly keys: string[]}[] = [];
	for (const job of argument('enqueue()', 'jobs', jobs, list) as QueueJob[]) {
		const last = groups.at(-1);
		const isLikeLast = last !== undefined && areAlike(last.first, job);
		const options = isLikeLast ? last.options : optionsOf(job);
		const payload = argument('enqueue()', 'payload', job.payload, encoded);
		const group = isLikeLast ? last : {first: job, options, payloads: [], keys: []};
		if (!isLikeLast) groups.push(group);
		group.payloads.push(payload);
		if (job.key !== undefined) group.keys.push(argument('enqueue()', 'key', job.key, string));
	}
	return groups.map(({options, payloads, keys}) => ({...options, values: pack(payloads), ...(keys.length > 0 && {keys: pack(keys)})}));
}

function checkUnique({key, batch, rerun}: QueueJob): void {
	if (key === undefined) throw bad('enqueue() got unique without a key; unique says how long a key is taken');
	if (batch !== undefined) throw bad("enqueue() got unique with a batch, where a key names an item: an item's job is its only one");
	if (rerun) throw bad('enqueue() got both unique and rerun; unique makes a new job, rerun begins a new round of the one there is');
}

const EDIT_CHECKS: Checks = {payload: encoded, priority, runAt: NEW_JOB_CHECKS['runAt'] as Check, delayMs: duration};

/** @throws FaenaError `BadOption` */
export function checkEdit(id: unknown, changes: unknown): JobEdit {
	const given: Omit<JobEdit, 'id'> = checked('edit()', changes, EDIT_CHECKS);
	if (given.delayMs !== undefined && given.runAt !== undefined) throw bad('edit() got both delayMs and runAt; give one of them');
	if (Object.keys(given).length === 0) throw bad('edit() expects what to change, such as payload, priority, runAt or delayMs; it got nothing');
	return {id: argument('edit()', 'id', id, positive), ...given};
}

/** True for jobs with the same options. Only the first of them is checked in full: to check each would take as long as to enqueue it. */
function areAlike(one: QueueJob, other: QueueJob): boolean {
	if (typeof other !== 'object' || other === null || (one.key === undefined) !== (other.key === undefined)) return false;
	if (one.policy !== other.policy || !haveSameOptions(one, other)) return false;
	// An option that does not exist is found by the full check.
	for (const name in other) if (!Object.hasOwn(NEW_JOB_CHECKS, name)) return false;
	return !one.rerun && !other.rerun;
}

/** A copy of the last policy that was given, and what is stored of it. A program usually gives the same one again, and a check takes microseconds. */
let lastPolicy: {readonly given: object; readonly policy: Policy} = {given: {}, policy: DEFAULT_POLICY};

function toPolicy(where: string, given: unknown): Policy {
	if (isEqual(lastPolicy.given, given)) return lastPolicy.policy;
	const policy = {...withOwn(DEFAULT_POLICY), ...checked(where, given, POLICY_CHECKS)};
	lastPolicy = {given: structuredClone(given as object), policy};
	return policy;
}

/** True for plain objects with the same properties, in any order. An array or a promise may have as few properties as a policy of defaults. */
function isEqual(one: unknown, other: unknown): boolean {
	if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return one === other;
	if (Object.getPrototypeOf(one) !== Object.getPrototypeOf(other)) return false;
	const names = Object.keys(one);
	return names.length === Object.keys(other).length && names.every(name => name in other && isEqual(one[name as never], other[name as never]));
}

const COMPLETION_CHECKS: Checks = {task: text, scope: text, priority, policy: value => toPolicy('openBatch({onComplete: {policy}})', value)};

/** @throws FaenaError `BadOption` */
export function checkBatchOptions(options: unknown): BatchOptions {
	const onComplete: Check = value => ({
		priority: 0,
		policy: DEFAULT_POLICY,
		...required<object>('openBatch({onComplete})', value, COMPLETION_CHECKS, ['task']),
	});
	return checked('openBatch()', options, {onComplete});
}

/** Checks options of which these must be given; default all. */
export function required<Result = Record<string, unknown>>(where: string, options: unknown, checks: Checks, names = Object.keys(checks)): Result {
	const given = checked(where, options, checks);
	for (const name of names) if (!(name in given)) argument(where, name, undefined, checks[name] as Check);
	return given as Result;
}

const DEQUEUE_CHECKS: Checks = {owner: text, tasks: texts, scopes: texts, limit, maxBytes: limit};

/** @throws FaenaError `BadOption` */
export function checkDequeue(options: unknown): DequeueOptions {
	return required('dequeue()', options, DEQUEUE_CHECKS, ['owner']);
}

const aClaim = kind<Partial<Claim>>('an object with id, lease and execution', value => typeof value === 'object' && value !== null);

/** Checks what names an execution, such as a job of `dequeue()`. @throws FaenaError `BadOption` */
export function checkClaim(where: string, claim: unknown): Claim {
	const {id, lease, execution} = argument(where, 'claim', claim, aClaim);
	for (const [name, value] of Object.entries({id, lease, execution})) argument(where, name, value, positive);
	return {id, lease, execution} as Claim;
}

const outcomeType = choice(...(['returned', 'threw', 'timedOut', 'lostWorker', 'cancelled', 'released'] satisfies Outcome['type'][]));

/** @throws FaenaError `BadOption` */
export function checkSettlements(lease: unknown, outcomes: unknown): Settlement[] {
	return argument('settle()', 'outcomes', outcomes, list).map(each => {
		const {outcome} = Object(each) as Partial<Settlement>;
		argument('settle()', "an outcome's type", Object(outcome).type, outcomeType);
		if (outcome?.type === 'returned') argument('settle()', "an outcome's value", outcome.value, encoded);
		return {...checkClaim('settle()', {...Object(each), lease}), outcome: {...withRecord(outcome as Outcome), ...timesOf(outcome as Outcome)}};
	});
}

const measured = number(0, Number.MAX_SAFE_INTEGER);

/** The times of an outcome. Its start, which `performance.now()` gives with a fraction, and its memory are stored as whole numbers. */
function timesOf(outcome: Outcome): Timing {
	const times: Partial<Record<keyof Timing, number>> = {};
	for (const name of ['startedAt', 'durationMs', 'cpuMs', 'memoryBytes'] as const) {
		if (outcome[name] === undefined) continue;
		const value = argument('settle()', `an outcome's ${name}`, outcome[name], measured) as number;
		times[name] = name === 'startedAt' || name === 'memoryBytes' ? Math.round(value) : value;
	}
	return times;
}

/** The outcome with a record of its error, which a caller may give as it was thrown. */
function withRecord(outcome: Outcome): Outcome {
	if (outcome.type !== 'threw' && outcome.type !== 'timedOut' && outcome.type !== 'lostWorker') return outcome;
	const {error, type} = outcome;
	const isRecord = typeof error === 'object' && error !== null && !(error instanceof Error) && 'reason' in error && 'name' in error && 'message' in error;
	return isRecord ? outcome : {...outcome, error: toFailure(error, type)};
}

/** @throws FaenaError `BadOption` */
export function checkPage(where: string, page: Page): Page {
	return checked(where, page, {after: notNegative, limit});
}

function listOf<Each>(check: Check): (value: unknown) => readonly Each[] {
	return value => list(value).map(check) as Each[];
}

import {MAX_LOG_LINES} from '../job/claim.ts';
import {type Encoded, encode, sizeBytes} from '../job/encoding.ts';
import {BUILT_INS, MAX_CAUSES, MAX_FIELDS_BYTES, MAX_TEXT} from '../job/error-record.ts';
import {type FailureRecord, toEnvelope} from '../job/failure.ts';
import type {ClaimedGroup} from '../job/groups/group.ts';
import {arePackedStrings, countOf, type PackedStrings} from '../job/groups/packed.ts';
import {PackedTimes} from '../job/groups/packed-times.ts';
import {type JobId, STOP_REASONS} from '../job/job.ts';
import {type ChildJob, MAX_CHILD_JOBS, MAX_CHILD_PARENTS} from '../job/new-job.ts';
import type {PoolOptions} from '../job/options.ts';
import {checkTaskOptions} from '../job/options.ts';
import {forPolicyNumbers} from '../job/policy.ts';
import {toDecision} from '../job/task/task-errors.ts';
import {FaenaError} from '../support/errors.ts';
import {MAX_LOG_TEXT} from '../worker/job-updates.ts';
import type {ChunkReport, FinalMessage, Loaded, OutcomesMessage, UpdateMessage} from '../worker/messages.ts';

/** The facts of a chunk against which a report is checked. */
interface ReportedChunk {
	readonly size: number;
	readonly reported: number;
	readonly takenBack: ReadonlySet<number>;
	readonly deadlines: ReadonlyMap<number, number>;
	readonly group: Pick<ClaimedGroup, 'expiries'>;
}

type Limits = Pick<PoolOptions, 'maxValueBytes' | 'maxCheckpointBytes'>;

/**
 * Checks a worker's message about a chunk. Returns the reason why it can't be true, as the end of a sentence; `undefined` for a valid one.
 * A task may have changed what the code of its worker does, and a worker must not harm more than itself. Values and times of
 * many jobs are checked as a whole, for speed.
 */
export function problemOf(chunk: ReportedChunk, message: ChunkReport, limits: Limits): string | undefined {
	if (message.type === 'outcomes') return problemOfOutcomes(chunk, message, limits);
	if (message.type === 'final') return problemOfFinal(chunk, message);
	return problemOfUpdate(chunk, message, limits);
}

function problemOfOutcomes(chunk: ReportedChunk, message: OutcomesMessage, {maxValueBytes}: Limits): string | undefined {
	const {first, values, times, failures, late, stops, skipped, expired, enqueues} = message;
	const {reported, size} = chunk;
	if (first !== reported) return `it reported job ${show(first)} of its chunk when job ${reported} was next`;
	if (!areValues(values, size - reported, maxValueBytes)) return 'its results were not values of jobs that it had';
	const count = countOf(values);
	if (!areTimes(times, count)) return `its times were not those of ${count} jobs`;
	const isOwn = integer(first, first + count - 1);
	// A job that still runs may have failed already.
	if (failures !== undefined && !mapOf(integer(first, size - 1), isFailure)(failures)) return 'its failures were none of jobs that it had';
	if (late !== undefined && !mapOf(integer(0, first - 1), isFailure)(late)) return 'its late failures were none of jobs that it had reported';
	const wasStopped: Is = each => isOwn(each) && chunk.deadlines.has(each as number);
	if (stops !== undefined && !mapOf(wasStopped, oneOf(...STOP_REASONS, 'timedOutTogether'))(stops)) return 'it stopped jobs that it was not told to stop';
	const wasTaken: Is = each => isOwn(each) && chunk.takenBack.has(each as number);
	if (skipped !== undefined && !setOf(wasTaken)(skipped)) return 'it skipped jobs that its pool had not taken back';
	const mayExpire: Is = each => isOwn(each) && chunk.group.expiries?.has(each as number) === true;
	if (expired !== undefined && !setOf(mayExpire)(expired)) return 'it let jobs expire that may not';
	if (enqueues !== undefined && !mapOf(isOwn, childJobs(maxValueBytes))(enqueues)) return 'the jobs that its jobs enqueue were none';
	return undefined;
}

/** At least one value, and at most `most`. */
function areValues(values: unknown, most: number, maxBytes: number): boolean {
	if (Array.isArray(values)) return values.length > 0 && listOf(encoded(maxBytes), most)(values);
	return shaped({count: integer(1, most), text: either(oneOf(null), text(Infinity))})(values) && arePackedStrings(values as PackedStrings);
}

function areTimes(times: unknown, count: number): boolean {
	if (!(times instanceof Uint8Array)) return false;
	const packed = new PackedTimes(times);
	return packed.count === count && (Object.keys(TIMES) as (keyof typeof TIMES)[]).every(name => packed.column(name).every(TIMES[name]));
}

function problemOfFinal({reported, size}: ReportedChunk, {type: _, chunk: __, ...rest}: FinalMessage): string | undefined {
	if (!shaped({isLast: isBoolean}, {memoryBytes: isBytes, failures: mapOf(integer(0, reported - 1), isFailure)})(rest))
		return 'its last word on jobs made no sense';
	return rest.isLast && reported < size ? `it ended its chunk after ${reported} of ${size} jobs` : undefined;
}

function problemOfUpdate(
	{size, takenBack}: ReportedChunk,
	{type: _, chunk: __, index: own, ...said}: UpdateMessage,
	{maxCheckpointBytes}: Limits,
): string | undefined {
	if (!integer(0, size - 1)(own) || takenBack.has(own)) return `it spoke for job ${show(own)}, which it does not have`;
	const checkpoint = shaped({at: isTime, state: encoded(maxCheckpointBytes)});
	return shaped({}, {nth: integer(1, Number.MAX_SAFE_INTEGER), progress: isProgress, logs: isLog, checkpoint})(said)
		? undefined
		: 'what it said of a running job made no sense';
}

/** The value may be anything. */
function show(value: unknown): string {
	return typeof value === 'number' ? String(value) : `(${typeof value})`;
}

/** The answer to `load`; an error if it is none, since a module may break its worker while it loads. */
export function toLoaded(answer: unknown): Loaded {
	try {
		if (!isLoaded(answer))
			throw new FaenaError('BadTasksModule', 'The tasks module broke its worker while it loaded: the worker could not say which tasks there are.');
		const loaded = answer as Loaded;
		if ('tasks' in loaded) for (const {name, options} of loaded.tasks) checkTaskOptions(`task ${name}`, options);
		return loaded;
	} catch (error) {
		return {error: toEnvelope(error)};
	}
}

/** True for values of one kind. */
export type Is = (value: unknown) => boolean;

type Shape = Readonly<Record<string, Is>>;

/** An object that has the properties of `must`, may have those of `may`, and has no others. */
export function shaped(must: Shape, may: Shape = {}): Is {
	const known = {...may, ...must};
	return value =>
		typeof value === 'object' &&
		value !== null &&
		Object.keys(must).every(name => Object.hasOwn(value, name)) &&
		Object.entries(value).every(([name, each]) => Object.hasOwn(known, name) && ((each === undefined && !Object.hasOwn(must, name)) || known[name]?.(each)));
}

export function listOf(is: Is, most: number): Is {
	// every() would skip holes.
	return value => Array.isArray(value) && value.length <= most && value.findIndex(each => !is(each)) < 0;
}

export function mapOf(isKey: Is, is: Is): Is {
	return value => value instanceof Map && [...value].every(([key, each]) => isKey(key) && is(each));
}

export function setOf(is: Is): Is {
	return value => value instanceof Set && [...value].every(is);
}

export function oneOf(...values: readonly unknown[]): Is {
	return value => values.includes(value);
}

export function either(...kinds: readonly Is[]): Is {
	return value => kinds.some(is => is(value));
}

export function text(most: number): Is {
	return value => typeof value === 'string' && value.length <= most;
}

export function integer(least: number, most: number): Is {
	return value => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
}

export const finite: Is = Number.isFinite;

export const isBoolean: Is = value => typeof value === 'boolean';

/** The largest time that a `Date` can have, in milliseconds since 1970. */
const MAX_TIME_MS = 8.64e15;

/** Milliseconds since 1970, whole ones. */
export const isTime: Is = integer(-MAX_TIME_MS, MAX_TIME_MS);

/** Milliseconds that passed, or may pass. */
export const isDuration: Is = value => typeof value === 'number' && value >= 0 && value <= MAX_TIME_MS;

export const isBytes: Is = integer(0, Number.MAX_SAFE_INTEGER);

/** A value that is encoded, in at most so many bytes. */
export function encoded(maxBytes: number): Is {
	return value =>
		value === null || ((typeof value === 'string' || value instanceof Uint8Array) && value.length > 0 && sizeBytes(value as Encoded, maxBytes) <= maxBytes);
}

export const isProgress: Is = shaped({done: finite, at: isTime}, {total: finite});

const MAX_STACK = 2 ** 16;

/** What an examination found of a worker. */
export const isExamination: Is = shaped({}, {heap: shaped({limitBytes: finite}, {usedBytes: finite}), stack: text(MAX_STACK), noStack: text(MAX_STACK)});

const isLog = listOf(shaped({at: isTime, level: oneOf('debug', 'info', 'warn', 'error'), text: text(MAX_LOG_TEXT + 1)}), MAX_LOG_LINES);

/** A text that was cut also says how much was cut off. */
const failureText = text(MAX_TEXT + 100);
const must = {name: failureText, message: failureText};
const may = {stack: failureText, code: either(finite, failureText), builtIn: oneOf(...BUILT_INS), fields: areFields};
const ofError = {...may, errors: listOf(shaped(must, may), MAX_CAUSES)};
const isFailure = shaped(
	{...must, reason: oneOf(...(['threw', 'badPayload', 'badResult', 'unknownTask'] satisfies FailureRecord['reason'][]))},
	{...ofError, causes: listOf(shaped(must, ofError), MAX_CAUSES), retry: each => toDecision(each) !== undefined},
);

/** Encoded together they may be somewhat longer than one by one. */
function areFields(fields: unknown): boolean {
	try {
		return typeof fields === 'object' && fields !== null && encode(fields, 'fields', 2 * MAX_FIELDS_BYTES) !== null;
	} catch {
		return false;
	}
}

const areNumbers = forPolicyNumbers((_, {least}) => integer(least, Number.MAX_SAFE_INTEGER));
const isPolicy = shaped(
	{
		maxAttempts: areNumbers.maxAttempts,
		timeoutMs: either(oneOf(null), finite),
		backoff: shaped({baseMs: finite, factor: finite, maxMs: finite, jitter: finite}),
		retry: oneOf('auto', 'manual'),
	},
	{timeoutPercent: finite, ...areNumbers},
);

/** Jobs of `ctx.enqueue`. A job can wait only for such as come before it. */
function childJobs(maxBytes: number): Is {
	const areJobs = listOf(childJob(maxBytes), MAX_CHILD_JOBS);
	const isBefore = (own: number) => (parent: JobId | {readonly index: number}) => typeof parent === 'number' || parent.index < own;
	return value => areJobs(value) && (value as readonly ChildJob[]).every(({after = []}, index) => after.every(isBefore(index)));
}

function childJob(maxBytes: number): Is {
	const isParent = either(integer(1, Number.MAX_SAFE_INTEGER), shaped({index: integer(0, MAX_CHILD_JOBS)}));
	const times = {delayMs: either(oneOf(undefined), finite), expiresMs: either(oneOf(undefined), finite)};
	return shaped(
		{task: text(Infinity), payload: encoded(maxBytes), priority: integer(-1e9, 1e9), runAt: either(oneOf(null), finite), policy: isPolicy},
		{
			scope: either(oneOf(undefined), text(Infinity)),
			key: text(Infinity),
			...times,
			unique: oneOf(undefined, 'unended'),
			after: listOf(isParent, MAX_CHILD_PARENTS),
			onParentDead: oneOf('cancel', 'run'),
		},
	);
}

const isUnknown: Is = Number.isNaN;
const TIMES = {startedAt: isTime, durationMs: isDuration, cpuMs: either(isUnknown, finite), memoryBytes: either(isUnknown, isBytes)} as const;

const isTask = shaped({name: text(Infinity), options: value => typeof value === 'object' && value !== null});
const isLoaded = either(
	shaped({tasks: listOf(isTask, Infinity)}, {codes: mapOf(text(Infinity), text(100))}),
	shaped({error: shaped({code: text(100), message: text(Infinity)}, {cause: () => true})}),
);

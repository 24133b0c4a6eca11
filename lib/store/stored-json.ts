/**
 * Reads stored JSON that is no payload or result: failures, policies, marks and completion jobs of batches. Another program may have written
 * anything there. The functions never throw and always return a valid value, so a bad row spoils at most one job, and never ends an engine.
 */

import type {Batch, BatchOptions, FlowJobs, Mark} from '../job/batch.ts';
import {decode, type Encoded, encode} from '../job/encoding.ts';
import {BUILT_INS, type ErrorRecord} from '../job/error-record.ts';
import type {FailureRecord, PostMortem} from '../job/failure.ts';
import type {CompletionJob} from '../job/new-job.ts';
import {forPolicyNumbers, type Policy} from '../job/policy.ts';
import type {ScheduleSpec} from '../job/schedule.ts';
import {toDecision} from '../job/task/task-errors.ts';

/** Returns the value if it is of the type, otherwise `undefined`. */
type Reader<Value> = (value: unknown) => Value | undefined;
type Readers<Values> = {readonly [Name in keyof Values]: Reader<Values[Name]>};

const text: Reader<string> = value => (typeof value === 'string' ? value : undefined);
/** JSON can hold an infinite number, `1e999`. */
const number: Reader<number> = value => (Number.isFinite(value) ? (value as number) : undefined);

function oneOf<Value>(...values: readonly Value[]): Reader<Value> {
	return value => values.find(each => each === value);
}

/** Reads an object that has all the required fields, with those of the optional fields that can be read. */
function object<Required, Optional = unknown>(required: Readers<Required>, optional?: Readers<Optional>): Reader<Required & Partial<Optional>> {
	const readers = Object.entries<Reader<unknown>>({...required, ...optional});
	const mustHave = Object.keys(required);
	return value => {
		const from = (value ?? {}) as Readonly<Record<string, unknown>>;
		const known: Record<string, unknown> = {};
		for (const [name, read] of readers) {
			const field = read(from[name]);
			if (field !== undefined) known[name] = field;
		}
		return mustHave.every(name => name in known) ? (known as Required & Partial<Optional>) : undefined;
	};
}

const readMark = object<Mark>({at: number, ended: number});
const readBackoff = object({baseMs: number, factor: number, maxMs: number, jitter: number});
const readTimeout: Reader<number | null> = value => (value === null ? null : number(value));
const readValidPolicy = object(
	{maxAttempts: number, timeoutMs: readTimeout, backoff: readBackoff, retry: oneOf<Policy['retry']>('auto', 'manual')},
	{timeoutPercent: number, ...forPolicyNumbers(() => number), onDead: text, unset: value => (Array.isArray(value) ? (value as Policy['unset']) : undefined)},
);
const readPriority: Reader<number> = value => (Number.isSafeInteger(value) ? (value as number) : undefined);
const readJob = object<Omit<CompletionJob, 'scope'>, {scope: string}>({task: text, priority: readPriority, policy: readValidPolicy}, {scope: text});
const readCode: Reader<string | number> = value => text(value) ?? number(value);
const readInner = object({}, {name: text, message: text, stack: text, code: readCode, builtIn: oneOf(...BUILT_INS), fields: readFields});
const readErrors = object({}, {errors: listOf(value => toError(readInner(value)))});
const readPostMortem: Reader<PostMortem> = object(
	{execution: number, attempt: number, startedAt: number, durationMs: number},
	{progress: object({done: number, at: number}, {total: number}), heap: object({limitBytes: number}, {usedBytes: number}), stack: text, noStack: text},
);
const readReason = oneOf<FailureRecord['reason']>(
	'threw',
	'timedOut',
	'lostWorker',
	'poison',
	'cancelled',
	'expired',
	'parent',
	'badPayload',
	'badResult',
	'unknownTask',
);
const readDetails = object(
	{},
	{
		reason: readReason,
		causes: listOf(readError),
		attempt: number,
		failedAt: number,
		worker: text,
		retry: toDecision,
		exitCode: number,
		signal: text,
		stderr: text,
		postMortem: readPostMortem,
	},
);

/** More causes and errors than Faena ever writes. */
const MAX_ERRORS = 16;

function listOf<Each>(read: (value: unknown) => Each): Reader<readonly Each[]> {
	return value => (Array.isArray(value) ? value.slice(0, MAX_ERRORS).map(read) : undefined);
}

function readError(value: unknown): ErrorRecord {
	return {...toError(readInner(value)), ...readErrors(value)};
}

function toError(fields: Partial<ErrorRecord> | undefined): ErrorRecord {
	return {name: 'Error', message: 'The stored record of this error is damaged.', ...fields};
}

/** Fields are an encoded value; a binary one is written in base64, which never begins with a brace. */
function readFields(value: unknown): ErrorRecord['fields'] {
	try {
		const fields = decode((value as string).startsWith('{') ? (value as string) : Buffer.from(value as string, 'base64'));
		return typeof fields === 'object' && fields !== null ? (fields as ErrorRecord['fields']) : undefined;
	} catch {
		return undefined;
	}
}

/** The JSON that {@link readFailure} reads. */
export function writeFailure({causes, ...failure}: FailureRecord): string {
	return JSON.stringify({...writeError(failure), causes: causes?.map(writeError)});
}

function writeError({fields, errors, ...error}: ErrorRecord): object {
	return {...error, fields: fields && writeFields(fields), errors: errors?.map(writeError)};
}

function writeFields(fields: ErrorRecord['fields']): string {
	const encoded = encode(fields, 'fields of an error') as Exclude<Encoded, null>;
	return typeof encoded === 'string' ? encoded : Buffer.from(encoded).toString('base64');
}

export function readFailure(stored: string): FailureRecord {
	const value = parse(stored);
	return {reason: 'threw', ...readError(value), ...readDetails(value)};
}

/** The JSON that {@link readPolicy} reads. Equal policies have the same, so that they share a row. */
export function specOf(policy: Policy): string {
	const {timeoutMs, timeoutPercent, retry, backoff, onDead, unset} = policy;
	const {baseMs, factor, maxMs, jitter} = backoff;
	return JSON.stringify({...forPolicyNumbers(name => policy[name]), timeoutMs, timeoutPercent, retry, backoff: {baseMs, factor, maxMs, jitter}, onDead, unset});
}

const ONE_EXECUTION: Policy = {
	...forPolicyNumbers((_, {least}) => least),
	...{timeoutMs: null, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}, retry: 'auto'},
};

/** The policy of a job. If it can't be read, the job gets one execution. */
export function readPolicy(stored: string | undefined): Policy {
	return readValidPolicy(parse(stored)) ?? ONE_EXECUTION;
}

export function readMarks(stored: string): Mark[] {
	const marks = parse(stored);
	return Array.isArray(marks) ? marks.slice(0, 2).flatMap(each => readMark(each) ?? []) : [];
}

/** What is stored of a flow, of a pipe, or of a map that renews all its items; `null` for other maps. */
export function writeShape({flow: structure, stages, renewal, run}: Omit<BatchOptions, 'onComplete'>): string | null {
	const shape = JSON.stringify({structure, stages, renewal, run});
	return shape === '{}' ? null : shape;
}

export function readShape(stored: string | null): Pick<Batch, 'flow' | 'stages' | 'renewal' | 'run'> {
	const {structure, jobs, stages, renewal, run} = Object(parse(stored)) as Readonly<Record<'structure' | 'jobs' | 'stages' | 'renewal' | 'run', unknown>>;
	const ofRun = {...(typeof renewal === 'string' && {renewal}), ...(typeof run === 'string' && {run})};
	const isRange = (each: unknown) => Array.isArray(each) && each.length === 2 && each.every(number => Number.isSafeInteger(number) && number > 0);
	if (Array.isArray(stages)) return {stages: stages.map(String), ...ofRun};
	if (typeof structure !== 'string') return ofRun;
	return {flow: {structure, ...(Array.isArray(jobs) && jobs.every(isRange) && {jobs: jobs as FlowJobs})}};
}

const readCron = object<{cron: string; timezone: string}>({cron: text, timezone: text});
const readEvery = object<{everyMs: number; from: 'clock' | 'end'}>({everyMs: number, from: oneOf<'clock' | 'end'>('clock', 'end')});
const readSpec = object<Omit<ScheduleSpec, 'payload' | 'scope'>, Required<Pick<ScheduleSpec, 'scope'>>>(
	{
		timing: value => readCron(value) ?? readEvery(value),
		catchUp: oneOf<ScheduleSpec['catchUp']>('none', 'one', 'all'),
		overlap: oneOf<ScheduleSpec['overlap']>('skip', 'queue'),
		jitterMs: number,
		until: readTimeout,
		expiresMs: readTimeout,
		task: text,
		priority: readPriority,
		policy: readValidPolicy,
	},
	{scope: text},
);

/** What a schedule is to do, without its payload; `undefined` if it can't be read. */
export function readScheduleSpec(stored: string): Omit<ScheduleSpec, 'payload'> | undefined {
	return readSpec(parse(stored));
}

/** The job to enqueue when a batch completes; `undefined` if there is none. */
export function readCompletionJob(stored: string | null): CompletionJob | undefined {
	return readJob(parse(stored));
}

function parse(stored: string | null | undefined): unknown {
	try {
		return JSON.parse(stored ?? 'null');
	} catch {
		return undefined;
	}
}

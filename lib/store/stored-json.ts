/**
 * Reads the JSON that a store keeps beside the values of jobs. Another program may have written anything into these rows. Every function here
 * returns a valid value and never throws, so that a bad row spoils one job at most, and never ends an engine.
 */

import type {Mark} from '../job/batch.ts';
import type {FailureRecord, PostMortem} from '../job/failure.ts';
import type {Policy} from '../job/job.ts';
import type {NewJob} from '../job/new-job.ts';

const REASONS: readonly unknown[] = ['threw', 'timedOut', 'lostWorker', 'poison', 'cancelled', 'badResult', 'unknownTask'] satisfies FailureRecord['reason'][];
/** More than Faena ever writes. */
const MAX_CAUSES = 16;

export function readFailure(stored: string): FailureRecord {
	const {reason, causes, exitCode, signal, stderr, postMortem, ...error} = parse(stored);
	const end = readPostMortem(fieldsOf(postMortem));
	return {
		reason: REASONS.includes(reason) ? (reason as FailureRecord['reason']) : 'threw',
		...describe(error),
		...(Array.isArray(causes) && {causes: causes.slice(0, MAX_CAUSES).map(each => describe(fieldsOf(each)))}),
		...pick({exitCode}, isNumber),
		...pick({signal, stderr}, isText),
		...(end && {postMortem: end}),
	};
}

function describe({name, message, stack, code}: Fields): Pick<FailureRecord, 'name' | 'message' | 'stack' | 'code'> {
	return {
		name: isText(name) ? name : 'Error',
		message: isText(message) ? message : 'The stored record of this error is damaged.',
		...pick({stack}, isText),
		...pick({code}, (value): value is string | number => isText(value) || isNumber(value)),
	};
}

function readPostMortem({execution, attempt, startedAt, durationMs, progress, heap, stack, noStack}: Fields): PostMortem | undefined {
	if (!isNumber(execution) || !isNumber(attempt) || !isNumber(startedAt) || !isNumber(durationMs)) return undefined;
	const {done, total, at} = fieldsOf(progress);
	const {usedBytes, limitBytes} = fieldsOf(heap);
	return {
		...{execution, attempt, startedAt, durationMs},
		...(isNumber(done) && isNumber(at) && {progress: {done, ...pick({total}, isNumber), at}}),
		...(isNumber(limitBytes) && {heap: {...pick({usedBytes}, isNumber), limitBytes}}),
		...pick({stack, noStack}, isText),
	};
}

/** The policy of a job whose own can't be read: one execution. */
const DAMAGED: Policy = {maxAttempts: 1, timeoutMs: null, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}, retry: 'auto'};

export function readPolicy(stored: string | undefined): Policy {
	return toPolicy(parse(stored)) ?? DAMAGED;
}

function toPolicy({maxAttempts, timeoutMs, timeoutPercent, backoff, retry}: Fields): Policy | undefined {
	const {baseMs, factor, maxMs, jitter} = fieldsOf(backoff);
	if (!isNumber(maxAttempts) || !(timeoutMs === null || isNumber(timeoutMs)) || !(retry === 'auto' || retry === 'manual')) return undefined;
	if (!isNumber(baseMs) || !isNumber(factor) || !isNumber(maxMs) || !isNumber(jitter)) return undefined;
	return {maxAttempts, timeoutMs, ...pick({timeoutPercent}, isNumber), backoff: {baseMs, factor, maxMs, jitter}, retry};
}

export function readMarks(stored: string): Mark[] {
	const marks = parseAny(stored);
	if (!Array.isArray(marks)) return [];
	return marks.slice(0, 2).flatMap(each => {
		const {at, ended} = fieldsOf(each);
		return isNumber(at) && isNumber(ended) ? [{at, ended}] : [];
	});
}

/** The job to enqueue when a batch completes; `undefined` if there is none. */
export function readCompletionJob(stored: string | null): Pick<NewJob, 'task' | 'priority' | 'policy'> | undefined {
	const {task, priority, policy: given} = parse(stored ?? undefined);
	const policy = toPolicy(fieldsOf(given));
	return isText(task) && Number.isSafeInteger(priority) && policy ? {task, priority: priority as number, policy} : undefined;
}

type Fields = Readonly<Record<string, unknown>>;

function parse(stored: string | undefined): Fields {
	return fieldsOf(parseAny(stored));
}

function parseAny(stored: string | undefined): unknown {
	try {
		return stored === undefined ? undefined : JSON.parse(stored);
	} catch {
		return undefined;
	}
}

function fieldsOf(value: unknown): Fields {
	return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

/** The fields whose values the check accepts. */
function pick<Name extends string, Value>(fields: Readonly<Record<Name, unknown>>, accepts: (value: unknown) => value is Value): {[Key in Name]?: Value} {
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => accepts(value))) as {[Key in Name]?: Value};
}

function isText(value: unknown): value is string {
	return typeof value === 'string';
}

/** JSON can hold an infinite number, `1e999`. */
function isNumber(value: unknown): value is number {
	return Number.isFinite(value);
}

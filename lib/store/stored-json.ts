/**
 * Reads the JSON that a store keeps beside the values of jobs. Another program may have written anything into these rows. Every function here
 * returns a valid value and never throws, so that a bad row spoils one job at most, and never ends an engine.
 */

import type {FailureRecord, PostMortem} from '../job/failure.ts';
import type {Mark, Policy} from '../job/job.ts';
import type {NewJob} from '../job/new-job.ts';

const REASONS: readonly unknown[] = ['threw', 'timedOut', 'lostWorker', 'poison', 'cancelled', 'badResult', 'unknownTask'] satisfies FailureRecord['reason'][];
/** More than Faena ever writes. */
const MAX_CAUSES = 16;

export function readFailure(stored: string): FailureRecord {
	const record = fieldsOf(parse(stored));
	const postMortem = readPostMortem(fieldsOf(record.postMortem));
	return {
		reason: REASONS.includes(record.reason) ? (record.reason as FailureRecord['reason']) : 'threw',
		...describe(record),
		...(Array.isArray(record.causes) && {causes: record.causes.slice(0, MAX_CAUSES).map(each => describe(fieldsOf(each)))}),
		...pick(record, {exitCode: isNumber, signal: isText, stderr: isText}),
		...(postMortem && {postMortem}),
	};
}

function describe(error: Fields): Pick<FailureRecord, 'name' | 'message' | 'stack' | 'code'> {
	const defaults = {name: 'Error', message: 'The stored record of this error is damaged.'};
	return {...defaults, ...pick(error, {name: isText, message: isText, stack: isText, code: isTextOrNumber})};
}

function readPostMortem(postMortem: Fields): PostMortem | undefined {
	const execution = numbersOf(postMortem, 'execution', 'attempt', 'startedAt', 'durationMs');
	if (!execution) return undefined;
	const [progress, heap] = [fieldsOf(postMortem.progress), fieldsOf(postMortem.heap)];
	const known = numbersOf(progress, 'done', 'at');
	const limit = numbersOf(heap, 'limitBytes');
	return {
		...execution,
		...(known && {progress: {done: known.done, ...pick(progress, {total: isNumber}), at: known.at}}),
		...(limit && {heap: {...pick(heap, {usedBytes: isNumber}), ...limit}}),
		...pick(postMortem, {stack: isText, noStack: isText}),
	};
}

/** The policy of a job whose own can't be read: one execution. */
const DAMAGED: Policy = {maxAttempts: 1, timeoutMs: null, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}, retry: 'auto'};

export function readPolicy(stored: string | undefined): Policy {
	return toPolicy(parse(stored)) ?? DAMAGED;
}

function toPolicy(value: unknown): Policy | undefined {
	const {maxAttempts, timeoutMs, retry, ...rest} = fieldsOf(value);
	const backoff = numbersOf(fieldsOf(rest.backoff), 'baseMs', 'factor', 'maxMs', 'jitter');
	if (!isNumber(maxAttempts) || !(timeoutMs === null || isNumber(timeoutMs)) || !backoff || !(retry === 'auto' || retry === 'manual')) return undefined;
	return {maxAttempts, timeoutMs, ...pick(rest, {timeoutPercent: isNumber}), backoff, retry};
}

export function readMarks(stored: string): Mark[] {
	const marks = parse(stored);
	return Array.isArray(marks) ? marks.slice(0, 2).flatMap(each => numbersOf(fieldsOf(each), 'at', 'ended') ?? []) : [];
}

/** The job to enqueue when a batch completes; `undefined` if there is none. */
export function readCompletionJob(stored: string | null): Pick<NewJob, 'task' | 'priority' | 'policy'> | undefined {
	const {task, priority, policy: given} = fieldsOf(parse(stored));
	const policy = toPolicy(given);
	return isText(task) && Number.isSafeInteger(priority) && policy ? {task, priority: priority as number, policy} : undefined;
}

type Fields = Readonly<Record<string, unknown>>;
type Check<Value> = (value: unknown) => value is Value;

const isText = (value: unknown): value is string => typeof value === 'string';
/** JSON can hold an infinite number, `1e999`. */
const isNumber = (value: unknown): value is number => Number.isFinite(value);
const isTextOrNumber = (value: unknown): value is string | number => isText(value) || isNumber(value);

function parse(stored: string | null | undefined): unknown {
	try {
		return JSON.parse(stored ?? 'null');
	} catch {
		return undefined;
	}
}

function fieldsOf(value: unknown): Fields {
	return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

/** The fields of these names whose values pass their checks. */
function pick<Values extends object>(fields: Fields, checks: {readonly [Name in keyof Values]: Check<Values[Name]>}): Partial<Values> {
	const names = Object.keys(checks) as (keyof Values & string)[];
	return Object.fromEntries(names.filter(name => checks[name](fields[name])).map(name => [name, fields[name]])) as Partial<Values>;
}

/** The fields of these names, if all are numbers. */
function numbersOf<Name extends string>(fields: Fields, ...names: readonly Name[]): Readonly<Record<Name, number>> | undefined {
	const entries = names.map(name => [name, fields[name]]);
	return entries.every(([, value]) => isNumber(value)) ? (Object.fromEntries(entries) as Record<Name, number>) : undefined;
}

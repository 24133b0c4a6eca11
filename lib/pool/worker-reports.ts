import {MAX_CHILD_JOBS} from '../job/child-jobs.ts';
import {toEnvelope} from '../job/error-envelope.ts';
import {type FailureRecord, MAX_CAUSES, MAX_TEXT} from '../job/failure.ts';
import {STOP_REASONS} from '../job/job.ts';
import {checkTaskOptions} from '../job/options.ts';
import {MAX_LOG_LINES} from '../job/outcome.ts';
import {arePackedStrings, countOf, isList, type Values} from '../job/packed-strings.ts';
import {PackedTimes} from '../job/packed-times.ts';
import type {PoolOptions} from '../job/worker-options.ts';
import {FaenaError} from '../support/errors.ts';
import type {ChunkReport, FinalMessage, Loaded, NoteMessage, OutcomesMessage} from '../worker/messages.ts';
import {MAX_LOG_TEXT} from '../worker/updates.ts';
import type {InFlightChunk} from './in-flight.ts';
import {
	either,
	encoded,
	finite,
	type Is,
	integer,
	isBoolean,
	isBytes,
	isDuration,
	isProgress,
	isTime,
	listOf,
	mapOf,
	oneOf,
	setOf,
	shaped,
	text,
} from './shapes.ts';

type Limits = Pick<PoolOptions, 'maxValueBytes' | 'maxCheckpointBytes'>;

/**
 * What can't be true of what a worker said of a chunk, as the rest of a sentence; nothing if it can. A task may have changed
 * what the code of its worker does, and no worker may harm more than itself. What comes with each job of a bulk, its value
 * and its times, is looked at as a whole.
 */
export function problemOf(flight: InFlightChunk, message: ChunkReport, limits: Limits): string | undefined {
	if (message.type === 'outcomes') return problemOfOutcomes(flight, message, limits);
	if (message.type === 'final') return problemOfFinal(flight, message);
	return problemOfNote(flight, message, limits);
}

const index = integer(0, Number.MAX_SAFE_INTEGER);

function problemOfOutcomes(flight: InFlightChunk, message: OutcomesMessage, {maxValueBytes}: Limits): string | undefined {
	const {first, values, times, failures, stops, suspects, skipped, enqueues} = message;
	const {reported, jobs} = flight;
	if (first !== reported) return `it reported job ${show(first)} of its chunk when job ${reported} was next`;
	if (!areValues(values, jobs.length - reported, maxValueBytes)) return 'its results were not values of jobs that it had';
	const count = countOf(values);
	if (!areTimes(times, count)) return `its times were not those of ${count} jobs`;
	const isOwn = integer(first, first + count - 1);
	// A job that runs, and is not reported yet, may have failed already.
	if (failures !== undefined && !mapOf(integer(first, jobs.length - 1), isFailure)(failures)) return 'its failures were none of jobs that it had';
	const wasStopped: Is = each => isOwn(each) && flight.deadlines.has(each as number);
	if (stops !== undefined && !mapOf(wasStopped, oneOf(...STOP_REASONS))(stops)) return 'it stopped jobs that it was not told to stop';
	if (suspects !== undefined && !setOf(wasStopped)(suspects)) return 'it stopped jobs that it was not told to stop';
	const wasTaken: Is = each => isOwn(each) && (flight.taken.has(each as number) || flight.chunkState.isAskedFor(each as number));
	if (skipped !== undefined && !setOf(wasTaken)(skipped)) return 'it did not run jobs that nobody had taken back';
	if (enqueues !== undefined && !mapOf(isOwn, listOf(madeJob(maxValueBytes), MAX_CHILD_JOBS))(enqueues)) return 'the jobs that its jobs enqueue were none';
	return undefined;
}

/** At least one, and at most so many. */
function areValues(values: unknown, most: number, maxBytes: number): boolean {
	if (!isValues(values)) return false;
	const count = countOf(values);
	if (count < 1 || count > most) return false;
	return isList(values) ? listOf(encoded(maxBytes), most)(values) : arePackedStrings(values);
}

const isPackedStrings = shaped({count: index, text: either(oneOf(null), text(Infinity))});

function isValues(values: unknown): values is Values {
	return Array.isArray(values) || isPackedStrings(values);
}

const isUnknown: Is = Number.isNaN;
const TIMES = {startedAt: isTime, durationMs: isDuration, cpuMs: either(isUnknown, finite), memoryBytes: either(isUnknown, isBytes)} as const;

function areTimes(times: unknown, count: number): boolean {
	if (!(times instanceof Uint8Array)) return false;
	const packed = new PackedTimes(times);
	return packed.count === count && (Object.keys(TIMES) as (keyof typeof TIMES)[]).every(name => packed.column(name).every(TIMES[name]));
}

function problemOfFinal({reported, jobs}: InFlightChunk, {type: _, chunk: __, ...rest}: FinalMessage): string | undefined {
	if (!shaped({isLast: isBoolean}, {memoryBytes: isBytes, failures: mapOf(integer(0, reported - 1), isFailure)})(rest))
		return 'its last word on jobs made no sense';
	return rest.isLast && reported < jobs.length ? `it ended its chunk after ${reported} of ${jobs.length} jobs` : undefined;
}

function problemOfNote({jobs, taken}: InFlightChunk, {type: _, chunk: __, index: own, ...said}: NoteMessage, {maxCheckpointBytes}: Limits): string | undefined {
	if (!integer(0, jobs.length - 1)(own) || taken.has(own)) return `it spoke for job ${show(own)}, which it does not have`;
	const checkpoint = shaped({at: isTime, state: encoded(maxCheckpointBytes)});
	return shaped({}, {progress: isProgress, logs: isLog, checkpoint})(said) ? undefined : 'what it said of a running job made no sense';
}

const isLog = listOf(shaped({at: isTime, level: oneOf('debug', 'info', 'warn', 'error'), text: text(MAX_LOG_TEXT + 1)}), MAX_LOG_LINES);

/** Longer texts say how much was cut off. */
const failureText = text(MAX_TEXT + 100);
const described = {must: {name: failureText, message: failureText}, may: {stack: failureText, code: either(finite, failureText)}};
const isFailure = shaped(
	{...described.must, reason: oneOf(...(['threw', 'badResult', 'unknownTask'] satisfies FailureRecord['reason'][]))},
	{...described.may, causes: listOf(shaped(described.must, described.may), MAX_CAUSES)},
);

const isPolicy = shaped(
	{
		maxAttempts: integer(1, Number.MAX_SAFE_INTEGER),
		timeoutMs: either(oneOf(null), finite),
		backoff: shaped({baseMs: finite, factor: finite, maxMs: finite, jitter: finite}),
		retry: oneOf('auto', 'manual'),
	},
	{timeoutPercent: finite},
);

function madeJob(maxBytes: number): Is {
	return shaped(
		{task: text(Infinity), payload: encoded(maxBytes), priority: integer(-1e9, 1e9), runAt: either(oneOf(null), finite), policy: isPolicy},
		{key: text(Infinity)},
	);
}

/** What was said may be anything. */
function show(value: unknown): string {
	return typeof value === 'number' ? String(value) : `(${typeof value})`;
}

const isLoaded = either(
	shaped({tasks: listOf(shaped({name: text(Infinity), options: value => typeof value === 'object' && value !== null}), Infinity)}),
	shaped({error: shaped({code: text(100), message: text(Infinity)}, {cause: () => true})}),
);

/** The answer to `load`, or that it is none: a module may break its worker while it loads. */
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

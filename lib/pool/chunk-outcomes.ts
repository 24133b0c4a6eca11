import type {FailureRecord, PostMortem} from '../job/failure.ts';
import {claimedJobAt, type EndedGroup, executionsOf, indexOf, pickEnded, sizeOf, withEndings} from '../job/group.ts';
import {MAX_SUSPICION, type StopReason} from '../job/job.ts';
import type {Ending} from '../job/outcome.ts';
import {countOf} from '../job/packed-strings.ts';
import {type JobTimes, PackedTimes} from '../job/packed-times.ts';
import type {OutcomesMessage} from '../worker/messages.ts';
import type {InFlightChunk} from './in-flight.ts';

/** The times of a job that started. */
export type RunTimes = Pick<JobTimes, 'startedAt' | 'durationMs'>;

/** The executions in a worker's message, without those of jobs that were taken back. */
export function reportedBy(chunk: InFlightChunk, message: OutcomesMessage): EndedGroup | undefined {
	const {first, values, times} = message;
	const group = {...executionsOf(chunk.group, first, first + countOf(values)), values, times, endings: endingsOf(chunk, message)};
	if (chunk.takenBack.size === 0) return group;
	const left = Array.from({length: sizeOf(group)}, (_, index) => index).filter(index => !chunk.takenBack.has(first + index));
	return left.length === 0 ? undefined : left.length === sizeOf(group) ? group : pickEnded(group, left);
}

/** How the executions of a message ended that did not simply return, by index in the message. */
function endingsOf(chunk: InFlightChunk, message: OutcomesMessage): Map<number, Ending> | undefined {
	const {first, values, failures, stops, suspects, enqueues} = message;
	if (!failures && !stops && !suspects && !enqueues) return undefined;
	const times = new PackedTimes(message.times);
	const endings = new Map<number, Ending>();
	for (let offset = 0; offset < countOf(values); offset++) {
		const ending = toEnding(chunk, first + offset, message, times.at(offset));
		if (ending) endings.set(offset, ending);
	}
	return endings.size > 0 ? endings : undefined;
}

function toEnding(chunk: InFlightChunk, index: number, {failures, stops, suspects, enqueues}: OutcomesMessage, times: RunTimes): Ending | undefined {
	if (suspects?.has(index)) return {type: 'released', suspicion: MAX_SUSPICION};
	const failure = failures?.get(index);
	const reason = stops?.get(index);
	if (reason) return stoppedEnding(chunk, index, reason, times, failure);
	if (failure) return {type: 'threw', error: failure};
	const enqueue = enqueues?.get(index);
	return enqueue && {type: 'returned', enqueue};
}

/** The group, but for jobs whose failure came to light after they had returned. */
export function withFailures(chunk: InFlightChunk, group: EndedGroup, failures: ReadonlyMap<number, FailureRecord>): EndedGroup {
	const endings = new Map<number, Ending>();
	for (const [of, error] of failures) {
		const index = indexOf(group, chunk.idAt(of));
		const hasReturned = index >= 0 && (group.endings?.get(index)?.type ?? 'returned') === 'returned';
		if (hasReturned) endings.set(index, {type: 'threw', error});
	}
	return endings.size > 0 ? withEndings(group, endings) : group;
}

/** How a job can end that was told to stop. */
export type StoppedEnding = Exclude<Ending, {readonly type: 'returned'}>;

/** How a job ended that was told to stop, by itself or with its worker. */
export function stoppedEnding(chunk: InFlightChunk, index: number, reason: StopReason, times: RunTimes, failure?: FailureRecord): StoppedEnding {
	if (reason === 'interrupted') return {type: 'released'};
	const after = `after ${(times.durationMs / 1000).toFixed(3)} s`;
	const detail = {...(failure?.reason === 'threw' && {causes: [failure]}), postMortem: postMortemOf(chunk, index, times, reason !== 'cancelled')};
	if (reason === 'cancelled') return {type: 'cancelled', error: {reason, name: 'Cancelled', message: `Cancelled while running, ${after}.`, ...detail}};
	const message = `Stopped ${after}: the timeout is ${(chunk.group.policy.timeoutMs ?? 0) / 1000} s.`;
	return {type: 'timedOut', error: {reason, name: 'TimedOut', message, ...detail}};
}

export function postMortemOf(
	{group, progress: said, examination}: InFlightChunk,
	index: number,
	{startedAt, durationMs}: RunTimes,
	isCharged: boolean,
): PostMortem {
	const {execution, attempts} = claimedJobAt(group, index);
	const progress = said.get(index);
	return {
		execution,
		attempt: attempts + (isCharged ? 1 : 0),
		startedAt,
		durationMs,
		...(progress && {progress}),
		...examination,
	};
}

import {type ClaimedGroup, mapColumn} from '../job/group.ts';
import type {Policy} from '../job/job.ts';

/** A timeout in percent is never shorter. */
const MIN_TIMEOUT_MS = 100;

/**
 * Turns timeouts in percent of the task's median into milliseconds.
 * @param medianOf returns `undefined` as long as too few executions of the task have completed: then the timeout is `null`
 */
export function withTimeouts(chunk: ClaimedGroup, medianOf: (task: string) => number | undefined): ClaimedGroup {
	if ([chunk.policies].flat().every(({timeoutPercent}) => timeoutPercent === undefined)) return chunk;
	const medianMs = medianOf(chunk.task);
	const timeoutMs = (percent: number) => (medianMs === undefined ? null : Math.max(MIN_TIMEOUT_MS, (medianMs * percent) / 100));
	const inMs = (policy: Policy) => (policy.timeoutPercent === undefined ? policy : {...policy, timeoutMs: timeoutMs(policy.timeoutPercent)});
	return {...chunk, policies: mapColumn(chunk.policies, inMs)};
}

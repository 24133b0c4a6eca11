import {type ClaimedGroup, mapColumn} from '../job/groups/group.ts';
import {type CheckedOptions, withOwn} from '../job/options.ts';
import type {Policy} from '../job/policy.ts';

/** A timeout in percent is never shorter. */
const MIN_TIMEOUT_MS = 100;

/**
 * Gives jobs the task's own options in place of those that nobody has given, and turns timeouts in percent of the task's median into milliseconds.
 * @param own the task's own options
 * @param medianOf returns `undefined` as long as too few executions of the task have completed: then the timeout is `null`
 */
export function withPolicies(chunk: ClaimedGroup, own: CheckedOptions | undefined, medianOf: (task: string) => number | undefined): ClaimedGroup {
	if ([chunk.policies].flat().every(({timeoutPercent, unset}) => timeoutPercent === undefined && !unset)) return chunk;
	const medianMs = medianOf(chunk.task);
	const timeoutMs = (percent: number) => (medianMs === undefined ? null : Math.max(MIN_TIMEOUT_MS, (medianMs * percent) / 100));
	const whole = (stored: Policy) => {
		const policy = stored.unset ? withOwn(stored, own) : stored;
		return policy.timeoutPercent === undefined ? policy : {...policy, timeoutMs: timeoutMs(policy.timeoutPercent)};
	};
	return {...chunk, policies: mapColumn(chunk.policies, whole)};
}

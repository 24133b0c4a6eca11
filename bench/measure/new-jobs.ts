import {encode} from '../../lib/queue.ts';
import type {NewJob} from '../../lib/store.ts';

/** Jobs with an engine's default options, and the whole numbers from `first` to `end` - 1 as payloads, to fill a queue without an engine. */
export function newJobs(task: 'identity' | 'started', first: number, end: number): NewJob[] {
	return Array.from({length: end - first}, (_, index) => ({...DEFAULTS, task, payload: encode(first + index, 'payload')}));
}

const DEFAULTS: Omit<NewJob, 'task' | 'payload'> = {
	priority: 0,
	runAt: null,
	policy: {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 1000, factor: 2, maxMs: 3_600_000, jitter: 0.5}, retry: 'auto'},
};

/** The range of one of `parts` producers. Together their ranges contain each number below `jobs` once. */
export function shareOf(jobs: number, index: number, parts: number): {readonly first: number; readonly end: number} {
	return {first: Math.floor((index * jobs) / parts), end: Math.floor(((index + 1) * jobs) / parts)};
}

import type {QueueJob} from '../../lib/queue.ts';

/** Jobs with default options, and the whole numbers from `first` to `end` - 1 as payloads, to fill a queue without an engine. */
export function newJobs(task: 'identity' | 'started', first: number, end: number): QueueJob[] {
	return Array.from({length: end - first}, (_, index) => ({task, payload: first + index}));
}

/** The range of one of `parts` producers. Together their ranges contain each number below `jobs` once. */
export function shareOf(jobs: number, index: number, parts: number): {readonly first: number; readonly end: number} {
	return {first: Math.floor((index * jobs) / parts), end: Math.floor(((index + 1) * jobs) / parts)};
}

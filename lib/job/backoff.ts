import type {Backoff} from './job.ts';

/** Milliseconds to wait after a charged attempt, 1 for the first. `random` is in [0, 1): with jitter, jobs that failed together are not due together. */
export function backoffMs({baseMs, factor, maxMs, jitter}: Backoff, attempt: number, random: number): number {
	const full = baseMs === 0 ? 0 : Math.min(maxMs, baseMs * factor ** (attempt - 1));
	return Math.round(full * (1 - jitter * random));
}

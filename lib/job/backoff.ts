import type {Backoff} from './job.ts';

/**
 * Milliseconds to wait after the given charged attempt (1 for the first).
 * @param random a number in [0, 1): with jitter, jobs that failed together are not all due together
 */
export function backoffMs({baseMs, factor, maxMs, jitter}: Backoff, attempt: number, random: number): number {
	const full = baseMs === 0 ? 0 : Math.min(maxMs, baseMs * factor ** (attempt - 1));
	return Math.round(full * (1 - jitter * random));
}

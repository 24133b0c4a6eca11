/** Milliseconds of work that a process may have fetched: more would leave the others idle at the end. */
const BATCH_MS = 20;

/** Jobs to fetch at a time, where that can be chosen: as many as pay for the round trip, fewer where jobs are long. */
export function batchSize({workMicros}: {readonly workMicros: number}, largest: number): number {
	return Math.max(2, Math.min(largest, Math.ceil((BATCH_MS * 1000) / Math.max(1, workMicros))));
}

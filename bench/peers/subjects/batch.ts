/** Milliseconds of work in a fetch. With more, other processes would idle at the end. */
const BATCH_MS = 20;

/** Jobs to fetch at a time: enough to pay for the round trip, fewer if jobs are long. */
export function batchSize({workMicros}: {readonly workMicros: number}, largest: number): number {
	return Math.max(2, Math.min(largest, Math.ceil((BATCH_MS * 1000) / Math.max(1, workMicros))));
}

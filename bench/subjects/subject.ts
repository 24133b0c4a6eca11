import type {Case, Intake, Measurement, Surroundings, TaskName} from '../plan/suite.ts';

/** An engine, a pool or a queue to measure. */
export interface Subject {
	/** Starts the subject, ready for jobs. The start is not measured. */
	open(given: Case, surroundings: Surroundings): Promise<Running>;
}

export interface Running {
	/** Jobs in a round of the warm-up, for a subject that is too slow for the usual number. */
	readonly warmUpJobs?: number;
	/** Prepares a drain before the clock starts: hands the jobs to the ideal's threads, or vacuums a database. */
	prepare?(task: TaskName, payloads: readonly unknown[]): Promise<void>;
	/**
	 * Enqueues the jobs as `intake` says, and resolves when the last result is as durable as the lane says. It is called several times
	 * to warm up, and then once to be measured.
	 */
	drain(task: TaskName, payloads: readonly unknown[], intake: Intake): Promise<void>;
	/**
	 * Called after the last drain: the sums of all jobs so far that the store has recorded. If it keeps no results, they are the sums of
	 * the executions. A run whose sums are not those of the workload is void.
	 */
	sums(): Promise<Sums>;
	/** What the subject itself counted since it was opened. */
	counters?(): Promise<Pick<Measurement, 'transactions' | 'meanChunk' | 'atRisk'>>;
	close(): Promise<void>;
}

export interface Sums {
	readonly completed: number;
	readonly results: number;
}

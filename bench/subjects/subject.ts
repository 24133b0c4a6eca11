import type {Case, Intake, Measurement, Surroundings, TaskName} from '../plan/suite.ts';

/** An engine, a pool or a queue that is measured. */
export interface Subject {
	/** Starts what executes, ready for work. What that costs is not measured: no clock runs yet. */
	open(given: Case, surroundings: Surroundings): Promise<Running>;
}

export interface Running {
	/** Jobs in a round of its warm-up, where the usual number would take it longer than the warm-up lasts. */
	readonly warmUpJobs?: number;
	/** Before a drain, and before the clock starts: for a ceiling that is to have nothing left to do but the work, and for a store that has a house to put in order. */
	prepare?(task: TaskName, payloads: readonly unknown[]): Promise<void>;
	/**
	 * Puts the jobs in, in the lane's way, and resolves when the last result is as durable as the lane says. Called a few
	 * times: first to warm up, once to be measured.
	 */
	drain(task: TaskName, payloads: readonly unknown[], intake: Intake): Promise<void>;
	/**
	 * After the last drain: what the store has of all jobs so far, or (where it keeps no results) what the executions themselves added up.
	 * A run whose sums aren't those of the workload is void.
	 */
	sums(): Promise<Sums>;
	/** What it says of itself, since it was opened. */
	counters?(): Promise<Pick<Measurement, 'transactions' | 'meanChunk' | 'atRisk'>>;
	close(): Promise<void>;
}

export interface Sums {
	readonly completed: number;
	readonly results: number;
}

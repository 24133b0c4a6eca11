import type {Case} from '../plan/suite.ts';

/** What a contender gets at its start. */
export interface Contention {
	readonly given: Case;
	/** Address of the store. */
	readonly address: string;
}

/** What a contender gets at the start of each round. */
export interface Round {
	/** The time at which the contender stops, by `sharedMs()`. */
	readonly until: number;
}

/** What a contender did in a round. */
export interface Taken {
	/** The numbers of its jobs, in the order in which it claimed them. */
	readonly numbers: Float64Array;
	/** Milliseconds of each claim that got jobs, and of each completion. */
	readonly claimMs: Float64Array;
	readonly completeMs: Float64Array;
	/** Times of the first claim and of the last answer, by `sharedMs()`. */
	readonly from: number;
	readonly to: number;
	readonly cpuMicros: number;
}

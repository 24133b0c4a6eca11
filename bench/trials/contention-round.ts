import type {Case} from '../plan/suite.ts';

/** What a contender is told at its start. */
export interface Contention {
	readonly given: Case;
	/** The store's. */
	readonly address: string;
}

/** What it is told each time that it shall claim. */
export interface Round {
	/** By {@link monotonicMs}. */
	readonly until: number;
}

/** What it answers. */
export interface Taken {
	/** What its jobs carry, in the order in which it claimed them. */
	readonly numbers: Float64Array;
	/** Milliseconds of each claim that got jobs, and of each completion. */
	readonly claimMs: Float64Array;
	readonly completeMs: Float64Array;
	/** From the first claim to the last answer, by {@link monotonicMs}. */
	readonly from: number;
	readonly to: number;
	readonly cpuMicros: number;
}

/** All processes of a machine share this clock. */
export function monotonicMs(): number {
	return Number(process.hrtime.bigint()) / 1e6;
}

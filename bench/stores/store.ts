import type {Case, Surroundings} from '../plan/suite.ts';

/** A store whose enqueue and dequeue are measured alone: no job is executed. The payload of each job is a whole number. */
export interface StoreSubject {
	/** Makes an empty store for one measurement. */
	create(given: Case, surroundings: Surroundings): Promise<Store>;
	/** Opens a connection of a contender, which has a process or thread of its own. */
	connect(address: string, given: Case): Promise<Contender>;
}

export interface Store {
	/** Where contenders find it. */
	readonly address: string;
	/** Adds one ready job for each number from `first` up to, not including, `end`. */
	fill(first: number, end: number): Promise<void>;
	/** Number of jobs that are ready and not claimed. */
	ready(): Promise<number>;
	/** Tidies up before the clock starts. */
	prepare?(): Promise<void>;
	close(): Promise<void>;
}

export interface Contender {
	/** Adds one ready job for each number from `first` up to, not including, `end`, in one call and one transaction where the store can. */
	add(first: number, end: number): Promise<unknown>;
	/** Claims up to `most` jobs; none only if none is ready. */
	claim(most: number): Promise<Claimed>;
	/** Records that these jobs are done. */
	complete(claimed: Claimed): Promise<void>;
	close(): Promise<void>;
}

export interface Claimed {
	/** The payloads of the jobs. */
	readonly numbers: readonly number[];
	/** What the store needs to complete them. */
	readonly handle: unknown;
}

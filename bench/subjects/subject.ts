import type {Measurement, Trial} from '../trials.ts';

export interface Setup {
	readonly workers: number;
	/** Rounds of hashing in a job. */
	readonly rounds: number;
	/** Where databases go. */
	readonly folder: string;
}

export type Result = Omit<Measurement, 'trial' | 'subject' | 'jobs'>;

export interface Subject {
	run(trial: Trial, setup: Setup): Promise<Result>;
}

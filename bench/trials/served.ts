import {moduleUrl} from '../measure/module-url.ts';
import type {Case, Measurement, Surroundings} from '../plan/suite.ts';
import type {Sums} from '../subjects/subject.ts';

/** What the trial `latency` needs of its subject, which runs the task `started`. */
export interface Served {
	/** Resolves when the job is as durable as the lane says. */
	enqueue(number: number): Promise<{result(): Promise<readonly [number: number, startedMs: number]>}>;
	/** As a drain gives it a job: a queue has taken the job, a pool has the result. */
	give(number: number): Promise<unknown>;
	idle(): Promise<unknown>;
	/** Undefined if the subject doesn't tell. */
	transactions(): Promise<number | undefined>;
	/** Refuses a run in which not each job was executed and recorded once. */
	check(expected: Sums): Promise<void>;
}

export type Use = (served: Served) => Promise<Measurement>;

/** A peer whose callers can wait for a job's result. */
export interface ServedPeer {
	/** Calls `use` with the peer, ready for jobs, and stops it afterwards. */
	serve(given: Case, surroundings: Surroundings, use: Use): Promise<Measurement>;
}

export async function loadServed(name: string): Promise<ServedPeer> {
	if (name !== 'bullmq') throw new Error(`No one can wait for the results of ${name}: it has no latencies`);
	return (await import(moduleUrl('peers/subjects/bullmq-served').href)) as ServedPeer;
}

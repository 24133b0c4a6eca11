import type {Case, Measurement, Surroundings} from '../plan/suite.ts';
import {drain} from './drain.ts';
import {processes} from './processes.ts';
import {producers} from './producers.ts';

/** Measures several producers, processes or workers on one file. `vary` says which, and how many. */
export async function contention(given: Case, surroundings: Surroundings): Promise<Measurement> {
	const {producers: producing, processes: draining, workers} = given.vary ?? {};
	if (producing !== undefined) return producers(given, surroundings);
	if (draining !== undefined) return processes(given, surroundings);
	if (workers === given.workers) return drain(given, surroundings);
	throw new Error('The trial contention expects vary.producers, vary.processes, or vary.workers, equal to workers');
}

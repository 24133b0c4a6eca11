import type {Case, Measurement, Surroundings} from '../plan/suite.ts';
import {drain} from './drain.ts';
import {processes} from './processes.ts';
import {producers} from './producers.ts';

/** What happens as more do the same at a time: `vary` names what they are. */
export async function contention(given: Case, surroundings: Surroundings): Promise<Measurement> {
	const {producers: producing, processes: draining, workers} = given.vary ?? {};
	if (producing !== undefined) return producers(given, surroundings);
	if (draining !== undefined) return processes(given, surroundings);
	if (workers === given.workers) return drain(given, surroundings);
	throw new Error('The trial contention expects vary.producers, vary.processes, or vary.workers, which is then also workers');
}

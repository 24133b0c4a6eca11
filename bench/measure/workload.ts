import type {Case, Surroundings} from '../plan/suite.ts';
import {KERNELS} from './kernels.ts';

/** The payloads of a case's jobs, and the sum of their results. */
export interface Workload {
	readonly payloads: readonly unknown[];
	/** Sum of all results, if each job ran and was recorded exactly once. */
	readonly sum: number;
}

/** In the trial `mixed` one job in a hundred is a hundred times longer, because real inputs have such items. */
const STRAGGLER_EVERY = 100;
const STRAGGLER_FACTOR = 100;

export function makeWorkload({task, jobs, workMicros, trial}: Case, {roundsPerMicro}: Surroundings): Workload {
	const rounds = Math.max(1, Math.round(workMicros * roundsPerMicro[task]));
	const isLong = (index: number) => trial === 'mixed' && index % STRAGGLER_EVERY === STRAGGLER_EVERY - 1;
	const roundsOf = (index: number) => (isLong(index) ? rounds * STRAGGLER_FACTOR : rounds);
	const payloads = Array.from({length: jobs}, (_, index) => (task === 'identity' ? index : [index, roundsOf(index)]));
	const [usual, long] = [KERNELS[task](rounds), trial === 'mixed' ? KERNELS[task](rounds * STRAGGLER_FACTOR) : 0];
	const longOnes = trial === 'mixed' ? Math.floor(jobs / STRAGGLER_EVERY) : 0;
	return {payloads, sum: (jobs * (jobs - 1)) / 2 + (jobs - longOnes) * usual + longOnes * long};
}

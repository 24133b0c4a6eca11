import type {Case, Measurement, Surroundings} from '../suite.ts';
import {call} from './call.ts';
import {drain} from './drain.ts';
import {latency} from './latency.ts';

/** What each trial does with its case. Several are drains, of different jobs. */
export const TRIALS: Readonly<Record<string, (given: Case, surroundings: Surroundings) => Promise<Measurement>>> = {
	drain,
	granularity: drain,
	mixed: drain,
	call,
	latency,
};

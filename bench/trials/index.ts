import type {Case, Measurement, Surroundings} from '../plan/suite.ts';
import {backlog} from './backlog.ts';
import {call} from './call.ts';
import {contention} from './contention.ts';
import {dequeue} from './dequeue.ts';
import {drain} from './drain.ts';
import {history} from './history.ts';
import {idle} from './idle.ts';
import {latency} from './latency.ts';
import {payloads} from './payloads.ts';
import {recovery} from './recovery.ts';
import {start} from './start.ts';
import {wake} from './wake.ts';

/** The function of each trial. Several trials drain different jobs. */
export const TRIALS: Readonly<Record<string, (given: Case, surroundings: Surroundings) => Promise<Measurement>>> = {
	drain,
	granularity: drain,
	mixed: drain,
	waiting: drain,
	idle,
	start,
	call,
	wake,
	latency,
	contention,
	dequeue,
	history,
	payloads,
	recovery,
	backlog,
};

import {chanceOf, shuffle} from './chance.ts';
import {roundsPerMicro} from './kernels.ts';
import {measure} from './protocol.ts';
import type {Case, Entry, Surroundings} from './suite.ts';

export interface Order extends Pick<Surroundings, 'folder' | 'seed' | 'counter' | 'servers'> {
	readonly run: string;
	readonly blocks: number;
	readonly cases: readonly Case[];
	/** Ends the measurement that is under way, and the run with it. */
	readonly signal?: AbortSignal;
}

/** Every case once in each block, in an order by chance. Yields each measurement as soon as it is taken, the discarded too. */
export async function* runPlan({run, blocks, cases, signal, ...given}: Order): AsyncGenerator<Entry> {
	const chance = chanceOf(given.seed);
	for (let block = 1; block <= blocks; block++) {
		const surroundings: Surroundings = {...given, seed: given.seed + block, roundsPerMicro: calibrate()};
		for (const each of shuffle(cases, chance)) yield* measure(each, surroundings, {run, block}, signal);
	}
}

function calibrate(): Surroundings['roundsPerMicro'] {
	return {identity: 0, spin: roundsPerMicro('spin'), sha256: roundsPerMicro('sha256'), json: roundsPerMicro('json')};
}

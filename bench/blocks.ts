import {chanceOf, shuffle} from './chance.ts';
import {roundsPerMicro} from './kernels.ts';
import type {PlannedCase} from './plan.ts';
import {measure} from './protocol.ts';
import type {Case, Entry, Surroundings} from './suite.ts';

export interface Order extends Pick<Surroundings, 'folder' | 'seed' | 'counter'> {
	readonly run: string;
	readonly blocks: number;
	readonly cases: readonly PlannedCase[];
	/** What a case has beside it: only the servers that it uses are counted. */
	readonly serversOf?: ((given: Case) => Surroundings['servers']) | undefined;
	/** Ends the measurement that is under way, and the run with it. */
	readonly signal?: AbortSignal;
}

/** Every case once in each block, in an order by chance. Yields each measurement as soon as it is taken, the discarded too. */
export async function* takeBlocks({run, blocks, cases, serversOf, signal, ...given}: Order): AsyncGenerator<Entry> {
	const chance = chanceOf(given.seed);
	for (let block = 1; block <= blocks; block++) {
		const surroundings: Surroundings = {...given, seed: given.seed + block, roundsPerMicro: calibrate()};
		for (const {blocks: own = block, ...each} of shuffle(cases, chance)) {
			if (block > own) continue;
			const servers = serversOf?.(each);
			yield* measure(each, {...surroundings, ...(servers && {servers})}, {run, block}, signal);
		}
	}
}

function calibrate(): Surroundings['roundsPerMicro'] {
	return {identity: 0, spin: roundsPerMicro('spin'), sha256: roundsPerMicro('sha256'), json: roundsPerMicro('json')};
}

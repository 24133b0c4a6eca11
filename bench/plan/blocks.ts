import {keyOfAllRevisions} from '../analyse/group.ts';
import {roundsPerMicro} from '../measure/kernels.ts';
import {type Chance, chanceOf, shuffle} from './chance.ts';
import type {PlannedCase} from './plan.ts';
import {measure, WARM_UP_MS} from './protocol.ts';
import type {Case, Entry, Surroundings, TaskName} from './suite.ts';

export interface Order extends Pick<Surroundings, 'folder' | 'seed' | 'counter'>, Partial<Pick<Surroundings, 'warmUpMs'>> {
	readonly run: string;
	readonly blocks: number;
	readonly cases: readonly PlannedCase[];
	/** What a case has beside it: only the servers that it uses are counted. */
	readonly serversOf?: ((given: Case) => Surroundings['servers']) | undefined;
	/** Ends the measurement that is under way, and the run with it. */
	readonly signal?: AbortSignal;
}

/** Every case once in each block, in an order by chance. Yields each measurement as soon as it is taken, the discarded too. */
export async function* takeBlocks({run, blocks, cases, serversOf, signal, warmUpMs = WARM_UP_MS, ...given}: Order): AsyncGenerator<Entry> {
	const chance = chanceOf(given.seed);
	for (let block = 1; block <= blocks; block++) {
		const own = cases.filter(each => block <= (each.blocks ?? blocks));
		for (const comparison of comparisonsOf(own, chance)) {
			const surroundings: Surroundings = {...given, warmUpMs, seed: given.seed + block, roundsPerMicro: calibrate(comparison[0].task)};
			const spins: number[] = [];
			for (const {blocks: _, ...each} of comparison) {
				const servers = serversOf?.(each);
				yield* measure(each, {...surroundings, ...(servers && {servers})}, {run, block}, spins, signal);
			}
		}
	}
}

type Comparison = readonly [PlannedCase, ...PlannedCase[]];

/**
 * Cases of the same work, in an order by chance: what is compared is taken in succession, on one calibration, so that the machine has
 * seconds to become another, not the minutes of a whole block. Two revisions of the same case are a pair of their own.
 */
export function comparisonsOf(cases: readonly PlannedCase[], chance: Chance): Comparison[] {
	const isComparingRevisions = cases.some(({revision}) => revision !== undefined);
	const byWork = Map.groupBy(cases, each => (isComparingRevisions ? keyOfAllRevisions(each) : JSON.stringify([each.trial, each.task, each.workMicros])));
	return shuffle([...byWork.values()], chance).map(own => shuffle(own, chance) as [PlannedCase, ...PlannedCase[]]);
}

/** The spin is for the rule of `protocol.ts`. */
function calibrate(task: TaskName): Surroundings['roundsPerMicro'] {
	const calibrated = [...new Set(['spin', task] as const)].map(each => [each, roundsPerMicro(each)]);
	return {identity: 0, spin: 0, sha256: 0, json: 0, ...Object.fromEntries(calibrated)};
}

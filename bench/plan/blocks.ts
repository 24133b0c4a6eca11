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
	/** The servers that a case uses. Their CPU time and fsyncs count. */
	readonly serversOf?: ((given: Case) => Surroundings['servers']) | undefined;
	/** Ends the current measurement, and with it the run. */
	readonly signal?: AbortSignal;
}

/** Measures every case once in each block, in random order. Yields each measurement as soon as it is taken, also a discarded one. */
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
 * Groups cases of the same work, in random order. Compared cases are measured in succession, on one calibration, so that the machine
 * can drift only for seconds between them, not for the minutes of a block. When two revisions are compared, a group is the two
 * revisions of one case.
 */
export function comparisonsOf(cases: readonly PlannedCase[], chance: Chance): Comparison[] {
	const isComparingRevisions = cases.some(({revision}) => revision !== undefined);
	const byWork = Map.groupBy(cases, each =>
		isComparingRevisions ? keyOfAllRevisions(each) : JSON.stringify([each.trial, each.task, each.workMicros, each.trial === 'drain' && each.intake]),
	);
	return shuffle([...byWork.values()], chance).map(own => shuffle(own, chance) as [PlannedCase, ...PlannedCase[]]);
}

/** Calibrates the task's kernel, and `spin` for the discard rule of `protocol.ts`. */
function calibrate(task: TaskName): Surroundings['roundsPerMicro'] {
	const calibrated = [...new Set(['spin', task] as const)].map(each => [each, roundsPerMicro(each)]);
	return {identity: 0, spin: 0, sha256: 0, json: 0, wait: 0, ...Object.fromEntries(calibrated)};
}

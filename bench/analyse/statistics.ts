import type {Chance} from '../plan/chance.ts';

/** A median, or another estimate, and the 95 % interval of its bootstrap distribution. */
export interface Interval {
	readonly median: number;
	readonly low: number;
	readonly high: number;
	readonly count: number;
}

const RESAMPLES = 2000;

/** The percentile bootstrap (Efron 1979): draws as many values with replacement, many times, and gives the range of 95 % of their medians. */
export function intervalOf(values: readonly number[], {below}: Chance): Interval {
	const draws = Array.from({length: RESAMPLES}, () => median(values.map(() => values[below(values.length)] as number)));
	return intervalAround(median(values), draws, values.length);
}

/** @param draws estimates from resamples of the same values */
export function intervalAround(estimate: number, draws: readonly number[], count: number): Interval {
	const sorted = draws.toSorted((a, b) => a - b);
	const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] as number;
	return {median: estimate, low: at(0.025), high: at(0.975), count};
}

export function median(values: readonly number[]): number {
	if (values.length === 0) return Number.NaN;
	const sorted = values.toSorted((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

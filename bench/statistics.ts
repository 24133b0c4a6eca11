import type {Chance} from './chance.ts';

/** A median and the 95 % interval of its bootstrap distribution. */
export interface Interval {
	readonly median: number;
	readonly low: number;
	readonly high: number;
	readonly count: number;
}

const RESAMPLES = 2000;

/** The percentile bootstrap (Efron 1979): medians of as many values drawn with replacement, and what 95 % of them lie between. */
export function intervalOf(values: readonly number[], {below}: Chance): Interval {
	const draws = Array.from({length: RESAMPLES}, () => median(values.map(() => values[below(values.length)] as number))).sort((a, b) => a - b);
	const at = (share: number) => draws[Math.round(share * (RESAMPLES - 1))] as number;
	return {median: median(values), low: at(0.025), high: at(0.975), count: values.length};
}

export function median(values: readonly number[]): number {
	if (values.length === 0) return Number.NaN;
	const sorted = values.toSorted((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

import type {Histogram} from 'node:perf_hooks';
import type {Quantiles} from './suite.ts';

/**
 * Of one of Node's HDR histograms, which is in nanoseconds, in milliseconds.
 * @param overheadMs what the histogram has in each value beside what is meant: a loop's delay contains its timer's interval
 */
export function quantilesOf(histogram: Histogram, overheadMs = 0): Quantiles {
	if (histogram.count === 0) return {p50: 0, p90: 0, p99: 0, p999: 0, max: 0};
	const ms = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - overheadMs);
	const at = (percentile: number) => ms(histogram.percentile(percentile));
	return {p50: at(50), p90: at(90), p99: at(99), p999: at(99.9), max: ms(histogram.max)};
}

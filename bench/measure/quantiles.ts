import type {Histogram, RecordableHistogram} from 'node:perf_hooks';
import type {Curve, Quantiles} from '../plan/suite.ts';

/**
 * Quantiles in milliseconds, from one of Node's histograms in nanoseconds.
 * @param overheadMs is subtracted from each value: the delay of an event loop includes the interval of its timer
 */
export function quantilesOf(histogram: Histogram, overheadMs = 0): Quantiles {
	if (histogram.count === 0) return {p50: 0, p90: 0, p99: 0, p999: 0, max: 0};
	const ms = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - overheadMs);
	const at = (percentile: number) => ms(histogram.percentile(percentile));
	return {p50: at(50), p90: at(90), p99: at(99), p999: at(99.9), max: ms(histogram.max)};
}

/** Densest towards 100, for a chart with a logarithmic axis of 1 - p. */
const PERCENTILES = [
	...[0, 1, 2.5, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90],
	...[92.5, 95, 96, 97, 98, 98.5, 99, 99.3, 99.5, 99.7, 99.8, 99.9, 99.95, 99.98, 99.99, 100],
] as const;

export function curveOf(histogram: Histogram): Curve {
	if (histogram.count === 0) return [];
	return PERCENTILES.map(percentile => {
		const nanoseconds = percentile === 0 ? histogram.min : percentile === 100 ? histogram.max : histogram.percentile(percentile);
		return [percentile, nanoseconds / 1e6];
	});
}

/** Records a time. The histogram takes whole nanoseconds, at least one. */
export function recordMs(histogram: RecordableHistogram, ms: number): void {
	histogram.record(Math.max(1, Math.round(ms * 1e6)));
}

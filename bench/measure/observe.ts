import {monitorEventLoopDelay} from 'node:perf_hooks';
import type {Measurement, Surroundings} from '../plan/suite.ts';
import {CostMeter} from './cost.ts';
import {quantilesOf} from './quantiles.ts';

/** How often the loop's delay is looked at: each value contains so much of waiting. */
const LOOK_MS = 1;

/** Runs what is measured, between two looks at the clock, and at what this process, its children and its servers have used. */
export async function observe(
	surroundings: Pick<Surroundings, 'servers' | 'counter'>,
	run: () => Promise<unknown>,
): Promise<Pick<Measurement, 'wallMs' | 'cpu' | 'fsyncs' | 'fsyncMs' | 'sleeps' | 'loopMs'>> {
	const delay = monitorEventLoopDelay({resolution: LOOK_MS});
	delay.enable();
	const cost = new CostMeter(surroundings);
	const start = performance.now();
	await run();
	const wallMs = performance.now() - start;
	const spent = cost.read();
	delay.disable();
	return {wallMs, ...spent, loopMs: quantilesOf(delay, LOOK_MS)};
}

import {monitorEventLoopDelay} from 'node:perf_hooks';
import type {Measurement, Surroundings} from '../plan/suite.ts';
import {sharedMs} from './clock.ts';
import {CostMeter} from './cost.ts';
import {quantilesOf} from './quantiles.ts';

/** Interval of the timer that measures the event loop's delay. Each recorded value includes this interval. */
const LOOK_MS = 1;

/** Calls `run`, and measures its time, and what this process, its children and its servers use meanwhile. */
export async function observe(
	surroundings: Pick<Surroundings, 'servers' | 'counter'>,
	run: () => Promise<unknown>,
): Promise<Pick<Measurement, 'startMs' | 'wallMs' | 'cpu' | 'fsyncs' | 'fsyncMs' | 'sleeps' | 'loopMs'>> {
	const delay = monitorEventLoopDelay({resolution: LOOK_MS});
	delay.enable();
	const cost = new CostMeter(surroundings);
	const startMs = sharedMs();
	await run();
	const wallMs = sharedMs() - startMs;
	const spent = cost.read();
	delay.disable();
	return {startMs, wallMs, ...spent, loopMs: quantilesOf(delay, LOOK_MS)};
}

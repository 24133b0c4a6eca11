import {readdirSync, readFileSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import {withEngine} from '../measure/engine.ts';
import {observe} from '../measure/observe.ts';
import {type Case, type Measurement, type Surroundings, totalCpu} from '../plan/suite.ts';

/** After this time the engine has nothing left to do from its start. */
const SETTLE_MS = 2000;
const IDLE_MS = 5000;

/** Measures what an engine costs that has no jobs: how often its threads wake up, and their share of a processor. */
export async function idle(given: Case, surroundings: Surroundings): Promise<Measurement> {
	return withEngine(given, surroundings, async () => {
		await sleep(SETTLE_MS);
		const before = wakeUps();
		const observed = await observe(surroundings, () => sleep(IDLE_MS));
		// The caller measures, and has nothing else to do.
		const cpuPercent = (totalCpu(observed.cpu) - observed.cpu.caller) / 10 / observed.wallMs;
		return {...observed, figures: {cpuPercent, ...(before !== undefined && {wakeUpsPerSecond: ((wakeUps() as number) - before) / (observed.wallMs / 1000)})}};
	});
}

/** How often Faena's threads have waited so far; `undefined` where the system does not tell. The caller's thread is left out. */
function wakeUps(): number | undefined {
	if (process.platform !== 'linux') return undefined;
	const others = readdirSync('/proc/self/task').filter(thread => Number(thread) !== process.pid);
	return others.reduce((sum, thread) => sum + waitsOf(thread), 0);
}

function waitsOf(thread: string): number {
	const [, waits = '0'] = /^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`/proc/self/task/${thread}/status`, 'utf8')) ?? [];
	return Number(waits);
}

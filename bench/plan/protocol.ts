import {execFile} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {availableParallelism} from 'node:os';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import {KERNELS} from '../measure/kernels.ts';
import {moduleUrl} from '../measure/module-url.ts';
import {measuringModule} from './revision.ts';
import type {Case, Entry, Measurement, Surroundings} from './suite.ts';

/**
 * The discard rule, written before the first measurement. A fixed spin is timed just before and just after each measurement. A
 * measurement doesn't count if any two spins around the compared subjects of its block differ by more than `MAX_DRIFT`, whether the
 * machine changed suddenly or little by little; or if other machines took more than `MAX_STOLEN` of the processors' time. Then it is
 * repeated, up to `TRIES` tries in all. The results contain all tries.
 */
export const MAX_DRIFT = 0.1;
export const MAX_STOLEN = 0.05;
const TRIES = 3;

/**
 * All subjects run jobs for this long before the clock starts: V8 compiles for seconds, and the first of them would measure its start
 * (`bench/README.md`, Warm-up).
 */
export const WARM_UP_MS = 1500;

/** A measurement that takes longer is void. */
const TIMEOUT_MS = 600_000;

/**
 * Takes one measurement, and repeats it if the discard rule asks for it.
 * @param spins those around the measurements that it is compared with and that count; its own are added if it counts, too
 * @throws the signal's reason, once the signal has ended the measuring process
 */
export async function* measure(
	given: Case,
	surroundings: Surroundings,
	mark: Pick<Entry, 'run' | 'block'>,
	spins: number[],
	signal?: AbortSignal,
): AsyncGenerator<Entry> {
	for (let tries = 1; tries <= TRIES; tries++) {
		const stolen = stealMeter();
		// Nothing has happened since the last spin, so it is also this measurement's first.
		const before = (tries === 1 && spins.at(-1)) || spinMs(surroundings);
		const outcome = await inFreshProcess(given, surroundings, signal);
		signal?.throwIfAborted();
		const spin = [before, spinMs(surroundings)] as const;
		const entry = {...mark, ...given, at: new Date().toISOString(), spinMs: spin, stolen: stolen(), ...outcome};
		const reason = entry.discarded ?? whyDiscarded(entry, spins);
		yield {...entry, ...(reason && {discarded: reason})};
		if (!reason) return void spins.push(...spin);
		// Another revision may lack the trial, which no other try would change.
		if (given.revision !== undefined && !outcome.measurement) return;
	}
}

/** @param others spins around the measurements that it is compared with */
export function whyDiscarded({spinMs, stolen}: Pick<Entry, 'spinMs' | 'stolen'>, others: readonly number[]): string | undefined {
	const spins = [...others, ...spinMs];
	const drift = Math.max(...spins) / Math.min(...spins) - 1;
	if (drift > MAX_DRIFT) return `the spin drifted by ${Math.round(drift * 100)} %`;
	if (stolen > MAX_STOLEN) return `${Math.round(stolen * 100)} % of the time was stolen`;
	return undefined;
}

async function inFreshProcess(given: Case, surroundings: Surroundings, signal?: AbortSignal): Promise<Pick<Entry, 'measurement' | 'discarded'>> {
	const {LD_PRELOAD: _, ...env} = process.env;
	const measuring = promisify(execFile)(process.execPath, [moduleOf(given), JSON.stringify(given), JSON.stringify(surroundings)], {
		timeout: TIMEOUT_MS,
		maxBuffer: 2 ** 26,
		env: {...env, ...(surroundings.counter && {LD_PRELOAD: surroundings.counter.library, FAENA_BENCH_SYNCS: surroundings.counter.file})},
	});
	// execFile's own option would not wait for the end of the process, and its files are removed next.
	const end = () => measuring.child.kill('SIGKILL');
	signal?.addEventListener('abort', end);
	try {
		const {stdout} = await measuring;
		// Peers may print lines before it.
		return {measurement: JSON.parse(stdout.trimEnd().split('\n').at(-1) as string) as Measurement};
	} catch (error) {
		const {stderr, killed, code} = error as {stderr?: unknown; killed?: boolean; code?: unknown};
		// The line that Node prints for an uncaught error. `error.message` would have the whole command, with this machine's paths.
		const [, sentence] = /^\w*error: (.*)$/im.exec(String(stderr)) ?? [];
		return {discarded: `void: ${killed ? `it took longer than ${TIMEOUT_MS / 1000} s` : (sentence ?? `it ended with code ${code}`)}`};
	} finally {
		signal?.removeEventListener('abort', end);
	}
}

function moduleOf({revision}: Case): string {
	return revision === undefined ? fileURLToPath(moduleUrl('one')) : measuringModule(revision);
}

const SPIN_MICROS = 20_000;

/** Milliseconds of a fixed piece of work. The fastest of three runs shows the machine's speed. */
function spinMs({roundsPerMicro}: Surroundings): number {
	return Math.min(
		...Array.from({length: 3}, () => {
			const start = performance.now();
			KERNELS.spin(SPIN_MICROS * roundsPerMicro.spin);
			return performance.now() - start;
		}),
	);
}

/** Returns a function that reads the share of time since then that the host gave to other machines; 0 if the system doesn't tell. */
function stealMeter(): () => number {
	const start = performance.now();
	const before = stolenMs();
	return () => (stolenMs() - before) / ((performance.now() - start) * availableParallelism());
}

function stolenMs(): number {
	try {
		// In hundredths of a second: user, nice, system, idle, iowait, irq, softirq, steal.
		return Number(readFileSync('/proc/stat', 'utf8').split(/\s+/)[8]) * 10;
	} catch {
		return 0;
	}
}

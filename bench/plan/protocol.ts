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
 * The rule by which a measurement doesn't count, written before any was taken: a fixed spin is timed just before and just after each, and of
 * all spins around what is compared in a block no two may differ by more than this, whether the machine became another meanwhile or
 * little by little; nor may other machines take more than this share of the processors' time. What breaks it is taken again, at most
 * so many times; all tries are in the results.
 */
export const MAX_DRIFT = 0.1;
export const MAX_STOLEN = 0.05;
export const TRIES = 3;

/**
 * All subjects have jobs for so long before the clock starts: V8 compiles for seconds, and what the first of them measures is its start
 * (`bench/README.md`, Warm-up).
 */
export const WARM_UP_MS = 1500;

/** What a measurement may take before it is given up as void. */
const TIMEOUT_MS = 600_000;

/**
 * Takes one measurement, as often as the rule asks for.
 * @param spins around those it is compared with that count already; its own are added to them if it does, too
 * @throws the signal's reason, once the process that measures has ended by it
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
		// Nothing has happened since the last one that counts.
		const before = (tries === 1 && spins.at(-1)) || spinMs(surroundings);
		const outcome = await inFreshProcess(given, surroundings, signal);
		signal?.throwIfAborted();
		const spin = [before, spinMs(surroundings)] as const;
		const entry = {...mark, ...given, at: new Date().toISOString(), spinMs: spin, stolen: stolen(), ...outcome};
		const reason = entry.discarded ?? whyDiscarded(entry, spins);
		yield {...entry, ...(reason && {discarded: reason})};
		if (!reason) return void spins.push(...spin);
	}
}

/** @param others spins around what it is compared with */
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
	// Not by execFile's own option: with it, it doesn't wait for the end of the process, whose files are about to be removed.
	const end = () => measuring.child.kill('SIGKILL');
	signal?.addEventListener('abort', end);
	try {
		const {stdout} = await measuring;
		// Peers may print before it.
		return {measurement: JSON.parse(stdout.trimEnd().split('\n').at(-1) as string) as Measurement};
	} catch (error) {
		const {stderr, killed, code} = error as {stderr?: unknown; killed?: boolean; code?: unknown};
		// What Node prints of an error that nobody caught. The message would have the whole command, with this machine's paths.
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

/** Milliseconds that a fixed piece of work takes; the fastest of three, since what is sought is the machine's speed. */
function spinMs({roundsPerMicro}: Surroundings): number {
	return Math.min(
		...Array.from({length: 3}, () => {
			const start = performance.now();
			KERNELS.spin(SPIN_MICROS * roundsPerMicro.spin);
			return performance.now() - start;
		}),
	);
}

/** Gives the share of time since then that the host gave to other machines; 0 where that isn't told. */
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

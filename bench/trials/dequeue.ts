import {createHistogram, type RecordableHistogram} from 'node:perf_hooks';
import {sharedMs} from '../measure/clock.ts';
import {CostMeter} from '../measure/cost.ts';
import {curveOf, quantilesOf, recordMs} from '../measure/quantiles.ts';
import type {Case, Measurement, Surroundings} from '../plan/suite.ts';
import {loadStore} from '../stores/index.ts';
import type {Store} from '../stores/store.ts';
import {Contenders} from './contenders.ts';
import type {Taken} from './contention-round.ts';

/** A measurement ends after this much time of claiming, or this many rounds. */
const CLAIMING_MS = 1000;
const MAX_ROUNDS = 200;
/** Jobs in a round of the warm-up. */
const WARM_UP_JOBS = 2000;

/**
 * Measures how fast jobs are claimed. Nothing is executed. `vary.contenders` processes (with `vary.threads`, threads of one process),
 * each with its own connection, claim `vary.batch` jobs at a time from a backlog of `vary.backlog`. With `vary.completes` they complete
 * them before they claim again. If the backlog is empty too soon, the trial fills it again while the clock stands still.
 */
export async function dequeue(given: Case, surroundings: Surroundings): Promise<Measurement> {
	const {contenders: count = 1, threads = 0, backlog = 1000} = given.vary ?? {};
	const store = await (await loadStore(given.subject)).create(given, surroundings);
	try {
		const contenders = await Contenders.start({given, address: store.address}, count, threads === 1);
		try {
			const trial = new Trial(store, contenders, surroundings);
			await trial.warmUp(Math.min(given.jobs, WARM_UP_JOBS));
			return await trial.measure(Math.min(given.jobs, backlog));
		} finally {
			await contenders.end();
		}
	} finally {
		await store.close();
	}
}

interface RoundResult {
	readonly taken: readonly Taken[];
	readonly spent: ReturnType<CostMeter['read']>;
	/** From the first contender's start to the last one's end. */
	readonly wallMs: number;
}

class Trial {
	readonly #store: Store;
	readonly #contenders: Contenders;
	readonly #surroundings: Surroundings;
	/** For each job's number: 1 if the job was claimed. */
	#claimed = new Uint8Array();
	#claims = 0;

	constructor(store: Store, contenders: Contenders, surroundings: Surroundings) {
		this.#store = store;
		this.#contenders = contenders;
		this.#surroundings = surroundings;
	}

	async warmUp(backlog: number): Promise<void> {
		const until = performance.now() + this.#surroundings.warmUpMs;
		do await this.#round(backlog, Infinity);
		while (performance.now() < until);
	}

	async measure(backlog: number): Promise<Measurement> {
		const rounds: RoundResult[] = [];
		for (let leftMs = CLAIMING_MS; leftMs > 0 && rounds.length < MAX_ROUNDS; ) {
			const round = await this.#round(backlog, leftMs);
			rounds.push(round);
			leftMs -= round.wallMs;
		}
		const [ready, expected] = [await this.#store.ready(), this.#claimed.length - this.#claims];
		if (ready !== expected) throw new Error(`${ready} jobs are still ready; expected were ${expected}`);
		return measurementOf(rounds);
	}

	/** Fills up the backlog and lets the contenders claim until it is empty or the time is over. */
	async #round(backlog: number, ms: number): Promise<RoundResult> {
		const filled = this.#claimed.length;
		const missing = backlog - (filled - this.#claims);
		await this.#store.fill(filled, filled + missing);
		const all = new Uint8Array(filled + missing);
		all.set(this.#claimed);
		this.#claimed = all;
		await this.#store.prepare?.();
		const meter = new CostMeter(this.#surroundings);
		const taken = await this.#contenders.take({until: sharedMs() + ms});
		const spent = meter.read();
		for (const {numbers} of taken) this.#mark(numbers);
		return {taken, spent, wallMs: Math.max(...taken.map(({to}) => to)) - Math.min(...taken.map(({from}) => from))};
	}

	#mark(numbers: Float64Array): void {
		for (const number of numbers) {
			if (this.#claimed[number] !== 0) throw new Error(`Job ${number} was claimed twice, or was never there`);
			this.#claimed[number] = 1;
		}
		this.#claims += numbers.length;
	}
}

function measurementOf(rounds: readonly RoundResult[]): Measurement {
	const sum = (of: (round: RoundResult) => number) => rounds.reduce((total, round) => total + of(round), 0);
	const sumTaken = (of: (taken: Taken) => number) => sum(({taken}) => taken.reduce((total, each) => total + of(each), 0));
	const wallMs = sum(round => round.wallMs);
	const jobs = sumTaken(({numbers}) => numbers.length);
	const [claimMs, completeMs] = [spansOf(rounds, ({claimMs}) => claimMs), spansOf(rounds, ({completeMs}) => completeMs)];
	const isCounted = rounds.every(({spent}) => spent.fsyncs !== undefined);
	return {
		wallMs,
		jobs,
		cpu: {caller: 0, dispatcher: 0, workers: sumTaken(({cpuMicros}) => cpuMicros), other: 0, servers: sum(({spent}) => spent.cpu.servers)},
		...(isCounted && {fsyncs: sum(({spent}) => spent.fsyncs ?? 0), fsyncMs: sum(({spent}) => spent.fsyncMs ?? 0)}),
		latencyMs: {claim: quantilesOf(claimMs), ...(completeMs.count > 0 && {complete: quantilesOf(completeMs)})},
		curvesMs: {claim: curveOf(claimMs)},
		figures: {
			claimsPerSecond: (claimMs.count / wallMs) * 1000,
			...fairnessOf(rounds, jobs),
			...(isCounted && {busyWaits: sum(({spent}) => spent.sleeps ?? 0)}),
		},
	};
}

function spansOf(rounds: readonly RoundResult[], of: (taken: Taken) => Float64Array): RecordableHistogram {
	const spans = createHistogram();
	for (const {taken} of rounds) for (const each of taken) for (const ms of of(each)) recordMs(spans, ms);
	return spans;
}

/** The smallest and the largest share of a contender, and Jain's index: 1 if all got the same, 1/n if one got everything. */
function fairnessOf(rounds: readonly RoundResult[], jobs: number): Readonly<Record<string, number>> {
	const count = rounds[0]?.taken.length ?? 0;
	if (count < 2) return {};
	const got = Array.from({length: count}, (_, index) => rounds.reduce((total, {taken}) => total + (taken[index]?.numbers.length ?? 0), 0));
	const squares = got.reduce((total, each) => total + each ** 2, 0);
	return {smallestShare: Math.min(...got) / jobs, largestShare: Math.max(...got) / jobs, fairness: jobs ** 2 / (count * squares)};
}

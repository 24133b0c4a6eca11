import {createHistogram, type RecordableHistogram} from 'node:perf_hooks';
import type {WorkerLoss} from '../job/events.ts';
import {PackedTimes, type TimesColumn} from '../job/packed-times.ts';
import {isReturnedRun, type ReturnedRun, type Settling} from '../job/runs.ts';
import type {EngineStats, Quantiles} from '../job/stats.ts';
import type {Settled} from '../store/store.ts';
import {monotonicMs} from '../support/clock.ts';

const RATE_SECONDS = 10;
/** A median of fewer says little. */
const MIN_SAMPLES = 10;
const MIN_TIMEOUT_MS = 100;

interface TaskRecord {
	completed: number;
	cpuMs: number;
	readonly durations: RecordableHistogram;
	readonly waits: RecordableHistogram;
}

/** Counts what a dispatcher does. Durations go to Node's HDR histograms, in microseconds. */
export class Statistics {
	readonly #slots: number;
	readonly #steadyMs: () => number;
	readonly #startedAt: number;
	readonly #executions = {completed: 0, failed: 0, dead: 0, cancelled: 0, released: 0, lost: 0};
	readonly #tasks = new Map<string, TaskRecord>();
	readonly #commits = createHistogram();
	/** Completed jobs by second, modulo as many seconds as are kept. */
	readonly #recent = new Array<{second: number; jobs: number}>(RATE_SECONDS + 1).fill({second: -1, jobs: 0});
	#failedCommits = 0;
	#busyMs = 0;
	#chunks = 0;
	#chunkedJobs = 0;
	#lostWorkers = 0;

	constructor(slots: number, steadyMs: () => number = monotonicMs) {
		this.#slots = slots;
		this.#steadyMs = steadyMs;
		this.#startedAt = steadyMs();
	}

	/** Executions of a task ended; what the queue makes of them is not known yet. */
	ended(task: string, settling: readonly Settling[]): void {
		const record = this.#recordOf(task);
		for (const each of settling) {
			if (isReturnedRun(each)) {
				this.#runEnded(record, each);
				continue;
			}
			const {type, durationMs = 0, waitMs, cpuMs = 0} = each.outcome;
			if (type === 'returned') this.#returned(record, durationMs, waitMs, cpuMs);
			else {
				this.#busyMs += durationMs;
				record.cpuMs += cpuMs;
			}
		}
	}

	#runEnded(record: TaskRecord, {values: {count}, times, createdAt}: ReturnedRun): void {
		const packed = new PackedTimes(times);
		this.#busyMs += packed.column('durationMs').sum();
		record.cpuMs += packed.column('cpuMs').sum() || 0;
		record.completed += count;
		recordEach(record.durations, packed.column('durationMs'), 0);
		recordEach(record.waits, packed.column('startedAt'), createdAt);
	}

	#returned(record: TaskRecord, durationMs: number, waitMs: number | undefined, cpuMs: number): void {
		this.#busyMs += durationMs;
		record.cpuMs += cpuMs;
		record.completed++;
		record.durations.record(toMicros(durationMs));
		if (waitMs !== undefined) record.waits.record(toMicros(waitMs));
	}

	settled(settled: readonly Settled[]): void {
		let completed = 0;
		for (const status of settled) {
			if (status === 'completed') completed++;
			else if (status === 'pending' || status === 'withdrawn') this.#executions.released++;
			else if (status !== 'running') this.#executions[status]++;
		}
		this.#executions.completed += completed;
		if (completed > 0) this.#countRecent(completed);
	}

	committed(durationMs: number): void {
		this.#commits.record(toMicros(durationMs));
	}

	failedToCommit(): void {
		this.#failedCommits++;
	}

	workerLost({reason}: Pick<WorkerLoss, 'reason'>): void {
		if (reason !== 'stopped') this.#lostWorkers++;
	}

	dispatched(jobs: number): void {
		this.#chunks++;
		this.#chunkedJobs += jobs;
	}

	/** So many percent of the task's median, once enough of its executions have completed. */
	timeoutMs(task: string, percent: number): number | null {
		const durations = this.#tasks.get(task)?.durations;
		if (!durations || durations.count < MIN_SAMPLES) return null;
		return Math.max(MIN_TIMEOUT_MS, (toMs(durations.percentile(50)) * percent) / 100);
	}

	report(): EngineStats {
		const uptimeMs = this.#steadyMs() - this.#startedAt;
		return {
			uptimeMs,
			slots: this.#slots,
			busyRatio: this.#slots === 0 ? 0 : Math.min(1, this.#busyMs / (uptimeMs * this.#slots)),
			executions: {...this.#executions},
			completedPerSecond: this.#completedPerSecond(uptimeMs),
			commits: {count: this.#commits.count, failed: this.#failedCommits, meanMs: quantilesOf(this.#commits).mean, p95Ms: quantilesOf(this.#commits).p95},
			chunks: {count: this.#chunks, meanJobs: this.#chunks === 0 ? 0 : this.#chunkedJobs / this.#chunks},
			lostWorkers: this.#lostWorkers,
			tasks: Object.fromEntries(
				[...this.#tasks].map(([task, {completed, durations, waits, cpuMs}]) => [
					task,
					{completed, duration: quantilesOf(durations), wait: quantilesOf(waits), cpuMs},
				]),
			),
		};
	}

	#recordOf(task: string): TaskRecord {
		const known = this.#tasks.get(task);
		if (known) return known;
		const record = {completed: 0, cpuMs: 0, durations: createHistogram(), waits: createHistogram()};
		this.#tasks.set(task, record);
		return record;
	}

	#countRecent(jobs: number): void {
		const second = this.#second();
		const slot = second % this.#recent.length;
		const known = this.#recent[slot] as {second: number; jobs: number};
		this.#recent[slot] = {second, jobs: jobs + (known.second === second ? known.jobs : 0)};
	}

	#completedPerSecond(uptimeMs: number): number {
		const since = this.#second() - RATE_SECONDS;
		const jobs = this.#recent.reduce((sum, each) => (each.second > since ? sum + each.jobs : sum), 0);
		return (1000 * jobs) / Math.max(1, Math.min(uptimeMs, RATE_SECONDS * 1000));
	}

	#second(): number {
		return Math.floor((this.#steadyMs() - this.#startedAt) / 1000);
	}
}

/** How much each of them is above this. */
function recordEach(histogram: RecordableHistogram, column: TimesColumn, above: number): void {
	column.forEach((ms, jobs) => {
		const micros = toMicros(ms - above);
		for (let job = 0; job < jobs; job++) histogram.record(micros);
	});
}

/** A histogram has no place for zero, nor for what no integer can hold. */
function toMicros(ms: number): number {
	return Math.min(Number.MAX_SAFE_INTEGER, Math.max(1, Math.round(ms * 1000)));
}

function toMs(micros: number): number {
	return micros / 1000;
}

function quantilesOf(histogram: RecordableHistogram): Quantiles {
	if (histogram.count === 0) return {mean: 0, p50: 0, p95: 0, p99: 0, max: 0};
	const at = (percentile: number) => toMs(histogram.percentile(percentile));
	return {mean: toMs(histogram.mean), p50: at(50), p95: at(95), p99: at(99), max: toMs(histogram.max)};
}

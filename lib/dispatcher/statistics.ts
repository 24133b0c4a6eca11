import {createHistogram, type RecordableHistogram} from 'node:perf_hooks';
import type {EngineStats, Quantiles, StorageSize} from '../job/events.ts';
import {type EndedGroup, numberAt, sizeOf} from '../job/groups/group.ts';
import {PackedTimes} from '../job/groups/packed-times.ts';
import type {SettledGroup} from '../store/store.ts';
import {monotonicMs} from '../support/clock.ts';

const RATE_SECONDS = 10;
/** The least and the most time after which a refused enqueue should be tried again, and the time while no job has ended. */
const MIN_RETRY_MS = 1000;
const MAX_RETRY_MS = 3_600_000;
const USUAL_RETRY_MS = 5000;
/** A median of fewer executions says little. */
const MIN_SAMPLES = 10;

/** Counts what a dispatcher does. Durations go to Node's HDR histograms, in microseconds. */
export class Statistics {
	failedCommits = 0;
	lostWorkers = 0;
	/** As last reported. */
	storage: StorageSize = {databaseBytes: 0, freeBytes: 0, logBytes: 0};
	readonly #slots: number;
	readonly #steadyMs: () => number;
	readonly #startedAt: number;
	readonly #executions = {completed: 0, failed: 0, dead: 0, cancelled: 0, released: 0, lost: 0};
	readonly #tasks = new Map<string, TaskRecord>();
	readonly #commits = createHistogram();
	readonly #recent = new Map<number, number>();
	#busyMs = 0;
	#chunks = 0;
	#chunkedJobs = 0;

	constructor(slots: number, steadyMs: () => number = monotonicMs) {
		this.#slots = slots;
		this.#steadyMs = steadyMs;
		this.#startedAt = steadyMs();
	}

	/** Counts executions that ended, whether the store accepts them or not. Returns how many of them ran, and their run time in all. */
	countEnded(task: string, groups: readonly EndedGroup[]): {readonly jobs: number; readonly totalMs: number} {
		const record = this.#tasks.get(task) ?? {completed: 0, ran: 0, totalMs: 0, cpuMs: 0, durations: createHistogram(), waits: createHistogram()};
		this.#tasks.set(task, record);
		let [jobs, totalMs] = [0, 0];
		for (const group of groups) {
			const times = new PackedTimes(group.times);
			const [startedAt, durationMs, cpuMs] = [times.column('startedAt'), times.column('durationMs'), times.column('cpuMs')];
			for (let index = 0; index < times.count; index++) {
				const ms = durationMs.at(index);
				record.cpuMs += cpuMs.at(index) || 0;
				if (!Number.isNaN(ms)) {
					jobs++;
					totalMs += ms;
				}
				if ((group.endings?.get(index)?.type ?? 'returned') !== 'returned') continue;
				record.completed++;
				recordMs(record.durations, ms);
				if (numberAt(group.executions, index) === 1) recordMs(record.waits, startedAt.at(index) - numberAt(group.createdAt, index));
			}
		}
		record.ran += jobs;
		record.totalMs += totalMs;
		this.#busyMs += totalMs;
		return {jobs, totalMs};
	}

	settled(groups: readonly EndedGroup[], results: readonly SettledGroup[]): void {
		let completed = 0;
		for (const [index, group] of groups.entries()) {
			const {others} = results[index] as SettledGroup;
			completed += sizeOf(group) - others.size;
			for (const status of others.values()) {
				if (status === 'pending' || status === 'discarded') this.#executions.released++;
				else if (status !== 'running' && status !== 'blocked') this.#executions[status]++;
			}
		}
		this.#executions.completed += completed;
		const second = Math.floor((this.#steadyMs() - this.#startedAt) / 1000);
		this.#recent.set(second, (this.#recent.get(second) ?? 0) + completed);
		for (const each of this.#recent.keys()) if (each <= second - RATE_SECONDS) this.#recent.delete(each);
	}

	committed(durationMs: number): void {
		recordMs(this.#commits, durationMs);
	}

	dispatched(jobs: number): void {
		this.#chunks++;
		this.#chunkedJobs += jobs;
	}

	/** The median run time of the task's executions that completed; `undefined` until enough have. */
	medianMs(task: string): number | undefined {
		const {durations} = this.#tasks.get(task) ?? {};
		return durations && durations.count >= MIN_SAMPLES ? durations.percentile(50) / 1000 : undefined;
	}

	/** When so many jobs will have ended, by the mean run time of a task or of all tasks. `together`: the most of them that run at the same time. */
	retryAfterMs(jobs: number, task: string | undefined, together = Infinity): number {
		const all = task === undefined ? [...this.#tasks.values()] : [this.#tasks.get(task) ?? {ran: 0, totalMs: 0}];
		const ran = all.reduce((sum, each) => sum + each.ran, 0);
		if (ran === 0 || this.#slots === 0) return USUAL_RETRY_MS;
		const meanMs = all.reduce((sum, {totalMs}) => sum + totalMs, 0) / ran;
		return Math.round(Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, (jobs * meanMs) / Math.min(this.#slots, together))));
	}

	report(): EngineStats {
		const uptimeMs = this.#steadyMs() - this.#startedAt;
		return {
			uptimeMs,
			slots: this.#slots,
			busyRatio: this.#slots === 0 ? 0 : Math.min(1, this.#busyMs / (uptimeMs * this.#slots)),
			executions: {...this.#executions},
			completedPerSecond: this.#completedPerSecond(uptimeMs),
			commits: {count: this.#commits.count, failed: this.failedCommits, meanMs: quantilesOf(this.#commits).mean, p95Ms: quantilesOf(this.#commits).p95},
			chunks: {count: this.#chunks, meanJobs: this.#chunks === 0 ? 0 : this.#chunkedJobs / this.#chunks},
			lostWorkers: this.lostWorkers,
			storage: this.storage,
			tasks: Object.fromEntries(
				[...this.#tasks].map(([task, {completed, durations, waits, cpuMs}]) => [
					task,
					{completed, duration: quantilesOf(durations), wait: quantilesOf(waits), cpuMs},
				]),
			),
		};
	}

	/** Counts the present second and the nine before it. */
	#completedPerSecond(uptimeMs: number): number {
		const first = Math.max(0, Math.floor(uptimeMs / 1000) - RATE_SECONDS + 1);
		const jobs = [...this.#recent].reduce((sum, [second, completed]) => (second >= first ? sum + completed : sum), 0);
		return (1000 * jobs) / Math.max(1, uptimeMs - 1000 * first);
	}
}

interface TaskRecord {
	completed: number;
	/** Executions whose run time is known, and their run time in all. */
	ran: number;
	totalMs: number;
	cpuMs: number;
	readonly durations: RecordableHistogram;
	readonly waits: RecordableHistogram;
}

/** Records a time, if it is known. A histogram takes only integers from 1 on. */
function recordMs(histogram: RecordableHistogram, ms: number): void {
	if (!Number.isNaN(ms)) histogram.record(Math.min(Number.MAX_SAFE_INTEGER, Math.max(1, Math.round(ms * 1000))));
}

function quantilesOf(histogram: RecordableHistogram): Quantiles {
	if (histogram.count === 0) return {mean: 0, p50: 0, p95: 0, p99: 0, max: 0};
	const at = (percentile: number) => histogram.percentile(percentile) / 1000;
	return {mean: histogram.mean / 1000, p50: at(50), p95: at(95), p99: at(99), max: histogram.max / 1000};
}

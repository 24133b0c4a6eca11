import {Readable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {bad, checkIterable, show} from '../../job/checks.ts';
import {fromFailure} from '../../job/failure.ts';
import {listRanges} from '../../job/groups/group.ts';
import type {Counts, JobId} from '../../job/job.ts';
import {describeStages, GROUPED, NO_JOBS} from '../../job/job.ts';
import type {StoredJob} from '../../store/found-jobs.ts';
import {FaenaError} from '../../support/errors.ts';
import type {DispatcherClient} from '../../transport/client.ts';
import {readJobs} from '../job-info.ts';
import {JobMap} from './map.ts';
import type {MapResult} from './map-items.ts';
import type {MapPlan} from './map-options.ts';
import type {PipePlan, Stage} from './pipe-plan.ts';

/** How far a pipe is. @example const {line}: PipeProgress = await pipe.progress(); */
export interface PipeProgress {
	/** Items read from the source. */
	readonly read: number;
	/** Items in the source, once it has ended. */
	readonly total: number | undefined;
	/** Items that were dropped, or given to a task of `onError`. */
	readonly dropped: number;
	/** Of a pipe with the option `batch`, its stages in order, and their jobs by status. */
	readonly stages: readonly {readonly task: string; readonly counts: Counts}[];
	/** All this in one line, for instance `1,204 read: parse 1,100 completed, 4 running → store 900 completed, 200 blocked`. */
	readonly line: string;
}

/**
 * A pipe under way: an async iterable of the results of its last stage. It reads its source as these are consumed, at most `window` items ahead. If the
 * loop is left early, nothing more is enqueued. The jobs that are enqueued run on, and a pipe with a `batch` can be resumed.
 * @example const pipe: JobPipe<string> = faena.pipe(lines, 'parse', 'toLine');
 */
export class JobPipe<Result> implements AsyncIterable<Result> {
	readonly #client: DispatcherClient;
	readonly #plan: PipePlan;
	readonly #map: JobMap<unknown, Result>;
	#read = 0;
	#dropped = 0;
	#isCancelled = false;

	/** @internal Use `engine.pipe`. */
	constructor(client: DispatcherClient, plan: PipePlan, source: Iterable<unknown> | AsyncIterable<unknown>) {
		checkIterable('pipe()', source);
		this.#client = client;
		this.#plan = plan;
		const counted = inUnits(source, plan.unit, () => this.#read++);
		this.#map = new JobMap(client, toMapPlan(plan), counted);
	}

	/**
	 * Yields the results of the last stage. It can be iterated once.
	 * @throws FaenaError `JobFailed` if a job is dead whose stage has `onError: 'stop'`, with the task's error as `cause`; `KeyConflict`, `BatchInUse`,
	 *   `BatchConflict`, `NotEncodable`, `TooLarge`, `Closed`, and the errors of the source
	 */
	async *[Symbol.asyncIterator](): AsyncGenerator<Result, void, undefined> {
		for await (const end of this.#map) {
			if (end.status !== 'completed') await this.#drop(end);
			else {
				const mayLackItems = this.#plan.stages.some(({runsOnDead}) => runsOnDead);
				if (!mayLackItems || (await this.#dropFrom(end))) yield end.result;
			}
		}
	}

	/** Runs the pipe and collects its results, for results that fit in memory. */
	async toArray(): Promise<Result[]> {
		return Array.fromAsync(this);
	}

	/**
	 * Runs the pipe and writes each result to the stream, which is then ended. The pipe reads no faster than the stream takes.
	 * @throws as the loop, and the errors of the stream
	 * @example await faena.pipe(lines, 'parse', 'toLine').to(createWriteStream('out.txt'));
	 */
	async to(stream: NodeJS.WritableStream): Promise<void> {
		await pipeline(Readable.from(this.#chunks()), stream);
	}

	async *#chunks(): AsyncGenerator<Result, void, undefined> {
		for await (const result of this) {
			if (result === null || result === undefined) throw bad(`pipe.to() expects results that a stream takes, such as texts; it got ${show(result)}`);
			yield result;
		}
	}

	/** Runs the pipe for what its tasks do, and drops the results. Resolves with their number. */
	async run(): Promise<number> {
		let results = 0;
		for await (const _ of this) results++;
		return results;
	}

	/** Cancels the jobs that have not ended, and enqueues nothing more. The loop ends. */
	async cancel(): Promise<void> {
		this.#isCancelled = true;
		await this.#map.cancel();
	}

	/** How far the pipe is. */
	async progress(): Promise<PipeProgress> {
		const {total} = this.#map.progress();
		const {batch, stages} = this.#plan;
		const known = batch === undefined ? undefined : await this.#client.verb('batch', batch);
		const names = stages.map(({task}) => task);
		const counted = known?.tasks ? [...new Set(names)].map(task => ({task, counts: known.tasks?.[task] ?? NO_JOBS})) : [];
		const items = {read: this.#read, total: total === undefined ? undefined : this.#read, dropped: this.#dropped};
		const line = [`${items.read.toLocaleString('en-US')} read`, ...(known?.tasks ? [describeStages(names, known.tasks)] : [])].join(': ');
		return {...items, stages: counted, line};
	}

	/** Does with an item whose job is dead or was cancelled what its stage says. */
	async #drop(end: Exclude<MapResult<unknown, Result>, {status: 'completed'}>): Promise<void> {
		const {jobId, error} = end;
		const dead = await this.#findDead(jobId);
		if (dead?.status === 'dead') return this.#dropDead(dead, end);
		// Cancelled by this program, which knows; or by another one.
		this.#dropped++;
		const stage = this.#stageOf(dead?.id ?? jobId, end);
		if (this.#isCancelled || stage.onError !== 'stop') return;
		await this.#map.halt();
		throw new FaenaError('JobCancelled', `Job ${dead?.id ?? jobId} (${stage.task}) was cancelled, which stopped the pipe. Start it again to run the rest.`, {
			cause: error,
		});
	}

	async #dropDead(dead: StoredJob, unit: Unit): Promise<void> {
		const stage = this.#stageOf(dead.id, unit);
		const cause = dead.error ? fromFailure(dead.error) : new Error('The job is dead.');
		if (stage.onError === 'stop') {
			await this.#map.halt();
			throw new FaenaError('JobFailed', `Job ${dead.id} (${stage.task}) failed, which stopped the pipe: ${cause.message}`, {cause});
		}
		this.#dropped++;
	}

	/** Handles the dead items of a unit whose last job ran without them. Returns false if none is left, so that its result is made of nothing. */
	async #dropFrom(unit: Unit): Promise<boolean> {
		const ids = unit.earlier?.flat() ?? [];
		const lost = new Set<JobId>();
		for await (const job of readJobs(this.#client, {ids, status: ['dead', 'cancelled']}, {})) {
			lost.add(job.id);
			if (job.status === 'dead') await this.#dropDead(job, unit);
		}
		return (unit.earlier ?? []).every(stage => stage.some(id => !lost.has(id)));
	}

	#stageOf(id: JobId, {earlier = []}: Unit): Stage {
		// The jobs of the last stage are not among the earlier ones.
		const place = earlier.findIndex(ids => ids.includes(id));
		return this.#plan.stages.at(place) as Stage;
	}

	/** The job because of which this one did not complete: itself, or the first one before it that is dead. */
	async #findDead(id: JobId): Promise<StoredJob | undefined> {
		for (let ids: readonly JobId[] = [id]; ids.length > 0; ) {
			let ended: StoredJob | undefined;
			for await (const job of readJobs(this.#client, {ids, status: ['dead', 'cancelled']}, {edges: true}))
				if (!ended || (ended.status !== 'dead' && job.status === 'dead')) ended = job;
			if (!ended || ended.status === 'dead' || ended.error?.reason !== 'parent') return ended;
			ids = listRanges(ended.edges?.parents ?? []);
		}
		return undefined;
	}
}

/** A unit of items, by its place in the source, with its jobs. */
type Unit = Pick<MapResult<unknown, unknown>, 'index' | 'earlier'>;

/** The map of the pipe's units: its jobs are those of the last stage. */
function toMapPlan(pipe: PipePlan): MapPlan<unknown> {
	const {stages, batch, order, signal, window, windowBytes, unit, encode} = pipe;
	const last = stages.at(-1) as Stage;
	return {
		...{batch, order, signal, windowBytes, pipe, encode, fresh: [], isChecked: false},
		...{filesOf: undefined, halt: undefined, weightOf: undefined, keyOf: undefined},
		missing: 'hold',
		window: Math.max(1, Math.floor(window / unit)),
		batchOptions: {stages: stages.map(({task, group}) => (group === 1 ? task : `${task}${GROUPED}${group}`))},
		group: {...last.common, rerun: last.common.rerun},
	};
}

/**
 * The items; with a size above 1, in arrays of so many, of which the last one may have fewer. The iterator of the items is created with the first one of
 * these: readline, for instance, loses lines that come before.
 * @param onItem called for each item that was read
 */
function inUnits(items: Iterable<unknown> | AsyncIterable<unknown>, size: number, onItem: () => void): Iterable<unknown> | AsyncIterable<unknown> {
	if (Symbol.asyncIterator in items) return {[Symbol.asyncIterator]: () => asyncUnits(items[Symbol.asyncIterator](), size, onItem)};
	return {
		*[Symbol.iterator]() {
			let unit: unknown[] = [];
			for (const item of items) {
				onItem();
				if (size === 1) yield item;
				else if (unit.push(item) === size) {
					yield unit;
					unit = [];
				}
			}
			if (unit.length > 0) yield unit;
		},
	};
}

function asyncUnits(iterator: AsyncIterator<unknown>, size: number, onItem: () => void): AsyncIterator<unknown> {
	return {
		async next() {
			const unit: unknown[] = [];
			while (unit.length < size) {
				const {done, value} = await iterator.next();
				if (done) break;
				onItem();
				unit.push(value);
			}
			return unit.length === 0 ? {done: true, value: undefined} : {done: false, value: size === 1 ? unit[0] : unit};
		},
		async return() {
			await iterator.return?.();
			return {done: true, value: undefined};
		},
	};
}

import type {Verdict} from '../../freshness/messages.ts';
import type {OpenFreshness} from '../../freshness/open-freshness.ts';
import {type Encoded, sameValue} from '../../job/encoding.ts';
import {type EnqueuedGroup, idAt, type Keys, MAX_GROUP_JOBS, type NewGroup} from '../../job/groups/group.ts';
import {pack} from '../../job/groups/packed.ts';
import type {JobId} from '../../job/job.ts';
import {keyConflict, noParent} from '../../store/conflict-errors.ts';
import {FaenaError} from '../../support/errors.ts';
import type {DispatcherClient} from '../../transport/client.ts';
import type {Notice} from '../../transport/messages.ts';
import type {HeldResults} from './held-results.ts';
import {ItemChecks} from './item-checks.ts';
import {deletedBatch, MapBatch} from './map-batch.ts';
import {ItemGroup} from './map-items.ts';
import type {MapPlan} from './map-options.ts';
import {groupUnits, joinEnqueued, type StageJobs} from './pipe-groups.ts';
import type {PipePlan, Stage} from './pipe-plan.ts';
import {type Ends, WatchedJobs} from './watched-jobs.ts';

/** Notifications of a map about its jobs. */
interface MapJobsListener<Item> extends Pick<Ends<Item>, 'completed' | 'failed'> {
	/** A job has ended otherwise, or before the map began to watch it. */
	ended(group: ItemGroup<Item>, offset: number, status: Notice['status'], isReused: boolean): void;
	/** A group was checked before it is enqueued. */
	checked(verdicts: readonly Verdict[]): void;
	/** A group was answered: there is room for another. */
	answered(): void;
}

/** The jobs of a map, from the message that enqueues them to their ends. */
export class MapJobs<Item> {
	readonly #client: DispatcherClient;
	readonly #plan: MapPlan<Item>;
	readonly #listener: MapJobsListener<Item>;
	readonly batch: MapBatch<Item>;
	readonly #watched: WatchedJobs<Item>;
	readonly #held: HeldResults;
	/** If the map asks which items are out of date. */
	readonly #checks: ItemChecks<Item> | undefined;
	/** Number of items that were sent. */
	sent = 0;
	/** Number of jobs that are enqueued and have not ended. */
	underWay = 0;
	/** Groups that were sent and not answered. */
	readonly unanswered = new Set<Promise<void>>();
	/** With `fresh`: by key, the payloads of jobs that have not ended. */
	readonly #payloads = new Map<string, Encoded>();
	/** All groups had keys that are consecutive numbers. */
	#areNumbers = true;
	/** From `ending` on no more groups are enqueued. */
	#phase: 'sending' | 'ending' | 'left' = 'sending';

	constructor(client: DispatcherClient, plan: MapPlan<Item>, freshness: OpenFreshness | undefined, held: HeldResults, listener: MapJobsListener<Item>) {
		this.#client = client;
		this.#plan = plan;
		this.#held = held;
		this.#listener = listener;
		this.batch = new MapBatch(client, plan, freshness !== undefined);
		this.#checks = freshness && new ItemChecks(client, plan, this.batch, freshness);
		this.#watched = new WatchedJobs(client, {
			completed: (group, from, to) => {
				this.#close(group, from, to, false);
				this.#checks?.compareFiles(group, from, to);
				listener.completed(group, from, to);
			},
			ended: (group, offset, end) => this.#ended(group, offset, end),
			failed: error => listener.failed(error),
		});
	}

	/** The most items of the next group. */
	get groupSize(): number {
		return this.#checks?.groupSize ?? MAX_GROUP_JOBS;
	}

	/**
	 * Sends the items to be enqueued, as one group.
	 * @param payloads one of each item; of a pipe's unit, those of its jobs in the first stage
	 * @param indexes of the items in the input, if they are in another order
	 * @throws FaenaError `BadOption`, `KeyConflict`, and errors of the function `key`
	 */
	enqueue(items: Item[], payloads: Encoded[], indexes?: readonly number[]): ItemGroup<Item> {
		const {group: common, batch, pipe} = this.#plan;
		if (pipe) return this.#enqueueUnits(pipe, items, payloads);
		const start = this.sent;
		const group = new ItemGroup(this.#plan, start, items, this.#held, indexes);
		if (common.rerun?.changed) for (const [offset, payload] of payloads.entries()) this.#keep(group.keyAt(offset), payload);
		this.sent += items.length;
		const answered = this.#expectAnswer();
		const numbers = batch === undefined ? undefined : indexes ? pack(indexes.map(index => `${index}`)) : start;
		const sent = {...common, values: pack(payloads), keys: group.keys ? this.#packKeys(group.keys) : numbers, ...this.batch.ofGroups};
		if (this.#checks) this.#checks.inTurn(() => this.#sendChecked(group, payloads, sent, answered));
		else this.#send(group, sent, answered, !common.rerun?.changed);
		return group;
	}

	/**
	 * Keys that are consecutive numbers, such as ids, travel and are stored as the first of them. After a gap all keys of the map go as a list: a store
	 * finds numbers and lists in different places, and is slower with both.
	 */
	#packKeys(keys: readonly string[]): Keys {
		const first = /^\d{1,15}$/.test(keys[0] ?? '') ? Number(keys[0]) : Number.NaN;
		this.#areNumbers &&= keys.every((key, offset) => key === `${first + offset}`);
		return this.#areNumbers ? first : pack(keys);
	}

	#send(group: ItemGroup<Item>, sent: NewGroup, answered: (take: () => void) => void, givesPayloads = false): void {
		this.#client.send(
			{type: 'enqueue', group: sent, watch: true, givesPayloads},
			reply => answered(() => this.#watch(group, reply as EnqueuedGroup)),
			error => answered(() => this.#listener.failed(error)),
		);
	}

	/** Finds out which items are out of date, and sends them. */
	async #sendChecked(group: ItemGroup<Item>, payloads: Encoded[], sent: NewGroup, answered: (take: () => void) => void): Promise<void> {
		try {
			const verdicts = this.#isOver ? undefined : await this.#checks?.check(group, payloads);
			// The map was left or ended meanwhile, and enqueues nothing more.
			if (!verdicts || this.#isOver) return answered(() => undefined);
			group.checked = {verdicts, payloads};
			this.#listener.checked(verdicts);
			const fingerprints = pack(verdicts.map(({fingerprint = null}) => fingerprint));
			const outdated = verdicts.flatMap(({isOutdated}, offset) => (isOutdated ? offset : []));
			this.#send(group, {...sent, fingerprints, ...(outdated.length > 0 && {outdated})}, answered);
		} catch (error) {
			answered(() => this.#listener.failed(error));
		}
	}

	/** Sends units of a pipe's items: jobs of all stages, in one transaction. */
	#enqueueUnits(pipe: PipePlan, units: Item[], payloads: readonly Encoded[]): ItemGroup<Item> {
		const start = this.sent;
		const group = new ItemGroup(this.#plan, start, units, this.#held);
		const jobs = groupUnits(pipe, payloads, start, this.batch.id);
		this.sent += units.length;
		const answered = this.#expectAnswer();
		const last = jobs.stages.at(-1) as StageJobs;
		this.#client.send(
			{type: 'verb', verb: 'addToFlow', args: [jobs.groups.map(each => ({...each, ...this.batch.ofGroups})), last.group]},
			reply =>
				answered(() => {
					const missing = (reply as EnqueuedGroup[]).find(each => each.missing !== undefined)?.missing;
					if (missing !== undefined) return void this.#refuse(missing);
					const results = jobs.stages.map(stage => joinEnqueued(stage, jobs, reply as EnqueuedGroup[]));
					const refused = results.findIndex(({conflicts = []}) => conflicts.length > 0);
					if (refused >= 0) return this.#listener.failed(pipeConflict(pipe, start, refused, results[refused] as EnqueuedGroup));
					const {ids, reused = []} = results.at(-1) as EnqueuedGroup;
					group.earlier = results.slice(0, -1).map((result, at) => ({
						ids: result.ids,
						count: (jobs.stages[at] as StageJobs).count,
						perItem: (pipe.stages[at] as Stage).jobs,
					}));
					this.#watch(group, {ids, reused});
				}),
			error => answered(() => this.#listener.failed(error)),
		);
		return group;
	}

	/** Registers a group that is sent. Returns a function that handles its answer. */
	#expectAnswer(): (take: () => void) => void {
		const {promise, resolve} = Promise.withResolvers<void>();
		this.unanswered.add(promise);
		return take => {
			this.unanswered.delete(promise);
			take();
			resolve();
			this.#listener.answered();
		};
	}

	/** Refuses a key that an item under way has with another payload: this item would take the other one's place. */
	#keep(key: string, payload: Encoded): void {
		const known = this.#payloads.get(key);
		if (known !== undefined && !sameValue(known, payload)) {
			const what = `Two items of this map have the key ${JSON.stringify(key)} and different payloads`;
			throw new FaenaError('KeyConflict', `${what}, so one would replace the other. Give each item a key of its own.`);
		}
		this.#payloads.set(key, payload);
	}

	#watch(group: ItemGroup<Item>, {ids, reused, conflicts, named, missing}: EnqueuedGroup): void {
		if (missing !== undefined) return void this.#refuse(missing);
		const [conflict] = conflicts ?? [];
		if (conflict !== undefined) {
			this.#listener.failed(this.#conflictOf(group.keyAt(conflict), idAt(ids, conflict)));
			return;
		}
		group.ids = ids;
		group.existing = new Set(reused);
		this.underWay += group.size;
		this.batch.earlier.note(group, new Set(named));
		if (this.#phase === 'left') this.#watched.unwatch(group);
		else this.#watched.watch(group);
	}

	/** @param missing a parent, or minus the batch */
	async #refuse(missing: JobId): Promise<void> {
		const lost = missing < 0 ? await this.batch.lost().catch(() => undefined) : noParent(this.#plan.group.task, missing);
		this.#listener.failed(lost ?? deletedBatch(this.#plan.batch as string));
	}

	#conflictOf(key: string, id: JobId): FaenaError {
		const {group, batch} = this.#plan;
		const other = batch === undefined ? 'use another key' : 'give this map another batch name';
		const changed = `If the input has changed, add the option fresh: 'payload', which runs such items again; or ${other}.`;
		const advice = `${changed} If two items of this input have this key, give each a key of its own.`;
		return keyConflict({...group, key}, id, advice);
	}

	#ended(group: ItemGroup<Item>, offset: number, end: Notice): void {
		const reused = this.batch.earlier.hadEnded(end) && !group.wasToRun(offset);
		group.end(offset, end, reused);
		this.#close(group, offset, offset + 1, reused);
		if (!reused) this.#checks?.compareFiles(group, offset, offset + 1);
		this.#listener.ended(group, offset, end.status, reused);
	}

	/** The jobs from one offset up to another have ended. */
	#close(group: ItemGroup<Item>, from: number, to: number, isReused: boolean): void {
		this.underWay -= to - from;
		if (group.existing.size === 0 && this.#payloads.size === 0) return;
		for (let offset = from; offset < to; offset++) {
			this.#payloads.delete(group.keyAt(offset));
			if (!isReused && group.existing.has(offset)) this.batch.earlier.hasRun(idAt(group.ids, offset));
		}
	}

	/** Resolves once every group that was sent is answered. */
	async allAnswered(): Promise<void> {
		await Promise.all(this.unanswered);
	}

	/**
	 * Ids of this map's jobs that have not ended. Without a batch, a job that existed is not this map's, and the map waits for it no longer. Of a pipe,
	 * all jobs of these items, stage by stage: first those of the last one, so that no job is deleted before those that wait for it.
	 */
	async own(): Promise<JobId[][]> {
		if (this.#phase === 'sending') this.#phase = 'ending';
		// Groups under way must be in the queue first, or their jobs would be missed.
		await this.allAnswered();
		if (this.#plan.batch === undefined) this.underWay -= this.#watched.dropExisting();
		const open = [...this.#watched.open()];
		const stages = this.#plan.pipe?.stages.slice(0, -1) ?? [];
		return [
			open.map(([group, offset]) => idAt(group.ids, offset)),
			...stages.map((_, stage) => open.flatMap(([group, offset]) => group.earlierIdsAt(stage, offset))).reverse(),
		];
	}

	/** True once the map was left, halted or cancelled. */
	get #isOver(): boolean {
		return this.#phase !== 'sending';
	}

	/** Ends the input of the batch, as {@link MapBatch.endInput} does. */
	endInput(): Promise<{readonly gone?: number}> {
		return this.batch.endInput(this.sent, () => this.#isOver);
	}

	/** Stops waiting for the jobs, which run on, and frees the batch. @param isDone true if the loop came to its end */
	async leave({isDone}: {readonly isDone: boolean}): Promise<void> {
		this.#phase = 'left';
		this.#watched.leave();
		await this.#checks?.done();
		if (this.#plan.batch === undefined) return;
		await this.allAnswered();
		await this.batch.leave(isDone);
	}
}

/** @param refused the place of the stage whose jobs, from the unit `start` of the source on, are in conflict with earlier ones */
function pipeConflict({stages, unit, batch}: PipePlan, start: number, refused: number, {ids, conflicts: [offset = 0] = []}: EnqueuedGroup): FaenaError {
	const {jobs} = stages[refused] as Stage;
	const size = unit / jobs;
	const item = (start * jobs + offset) * size;
	const what = size === 1 ? `Item ${item} of this source is not the one that` : `Items ${item} to ${item + size - 1} of this source are not those that`;
	const problem = `${what} an earlier pipe of the batch ${JSON.stringify(batch)} had in that place (job ${idAt(ids, offset)}; the first item is 0)`;
	return new FaenaError('KeyConflict', `${problem}. Give this pipe another batch name, or delete that batch.`);
}

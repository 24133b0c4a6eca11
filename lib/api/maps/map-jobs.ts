import {nanoid} from 'nanoid';
import {ofChangedFiles} from '../../freshness/fingerprint.ts';
import type {FilesSeen, Verdict} from '../../freshness/messages.ts';
import type {OpenFreshness} from '../../freshness/open-freshness.ts';
import type {BatchId} from '../../job/batch.ts';
import {type Encoded, sameValue} from '../../job/encoding.ts';
import {type EnqueuedGroup, idAt, type Keys, listIds, MAX_GROUP_JOBS, type NewGroup, rangeOf} from '../../job/groups/group.ts';
import {pack} from '../../job/groups/packed.ts';
import type {JobId} from '../../job/job.ts';
import {pages} from '../../job/search.ts';
import {keyConflict, noParent} from '../../store/conflict-errors.ts';
import {FaenaError} from '../../support/errors.ts';
import type {DispatcherClient, RangeWatcher, Watcher} from '../../transport/client.ts';
import type {IdRange, Notice, Verbs} from '../../transport/messages.ts';
import {questionOf} from './map-freshness.ts';
import {ItemGroup} from './map-items.ts';
import type {MapPlan} from './map-options.ts';
import {groupUnits, joinEnqueued, type StageJobs} from './pipe-groups.ts';
import type {PipePlan, Stage} from './pipe-plan.ts';

/** Notifications of a map about its jobs. */
interface MapJobsListener<Item> {
	/** The jobs of the items from one offset up to another have completed. */
	completed(group: ItemGroup<Item>, from: number, to: number): void;
	/** A job has ended otherwise, or before the map began to watch it. */
	ended(group: ItemGroup<Item>, offset: number, status: Notice['status'], isReused: boolean): void;
	/** A group was checked before it is enqueued. */
	checked(verdicts: readonly Verdict[]): void;
	/** A group was answered: there is room for another. */
	answered(): void;
	failed(error: unknown): void;
}

/** Jobs that are listed in one call: usually all that an earlier map of the default window left unfinished. */
const MAX_PAGE_JOBS = 5000;

/** What the option `missing` makes of held jobs. */
const END_OF_HOLD = {run: 'unheld', cancel: 'cancelled', delete: 'discarded'} as const;

/** The fewest items that are checked together. */
const MIN_CHECKED_ITEMS = 16;
/** A check that takes less time lets the next group be larger. */
const QUICK_CHECK_MS = 50;

/** The flag of jobs that had not ended when this map began, or when it first enqueued their items. */
const UNENDED = 1;
/** The flag of other jobs of earlier maps that the input has had. */
const SEEN = 2;

/**
 * The jobs of a map, from the message that enqueues them to their ends, and its batch, if it has one. The map owns the batch from
 * {@link open} to {@link leave}. Jobs that an earlier map left unfinished, and that the input has not had when it ends, are the missing ones.
 */
export class MapJobs<Item> {
	readonly #client: DispatcherClient;
	readonly #plan: MapPlan<Item>;
	readonly #listener: MapJobsListener<Item>;
	/** Number of items that were sent. */
	sent = 0;
	/** Number of jobs that are enqueued and have not ended. */
	underWay = 0;
	/** The groups that were answered and have open jobs, by the watchers of their ranges. */
	readonly #groups = new Map<RangeWatcher, ItemGroup<Item>>();
	/** Open jobs that are watched one by one, since their ids are not consecutive, by their watchers. */
	readonly #singles = new Map<Watcher, {readonly group: ItemGroup<Item>; readonly offset: number}>();
	/** With `fresh`: by key, the payloads of jobs that have not ended. */
	readonly #payloads = new Map<string, Encoded>();
	/** Groups that were sent and not answered. */
	readonly unanswered = new Set<Promise<void>>();
	/** The first job that this map has made. Jobs with higher ids had not ended when the map began. */
	#firstMade: JobId = Infinity;
	/** Jobs of earlier maps that were running when this map began, and that the input has not had so far. */
	#running = new Set<JobId>();
	/** Jobs with lower ids: those {@link UNENDED}, and those {@link SEEN}. */
	readonly #flags = new IdFlags();
	/** Unfinished jobs of earlier maps that the input has not had so far. */
	missing = 0;
	/** Finds out which items are out of date, if the map asks for that. */
	readonly #freshness: OpenFreshness | undefined;
	/** The most items of the next group. It grows while checks are quick: of large files the first ones are to start before all are looked at. */
	#groupSize: number;
	/** All groups had keys that are consecutive numbers. */
	#areNumbers = true;
	/** True once no more groups are to be enqueued. */
	#isEnding = false;
	/** Comparisons of the files of ended jobs that are not done. */
	readonly #comparisons = new Set<Promise<void>>();
	/** The last check; the next group waits for it, so that groups are enqueued in order. */
	#checking: Promise<void> = Promise.resolve();
	/** The number of jobs that the batch had when this map began, and of those among them that the input has had. */
	#jobsBefore = 0;
	#jobsSeen = 0;
	#opening: Promise<{readonly id: BatchId}> | undefined;
	/** The batch, once it is open. */
	#batch: BatchId | undefined;
	#renewal: string | undefined;
	/** Of the batch. */
	readonly #run = nanoid();
	#hasInputEnded = false;
	#isLeft = false;

	constructor(client: DispatcherClient, plan: MapPlan<Item>, freshness: OpenFreshness | undefined, listener: MapJobsListener<Item>) {
		this.#client = client;
		this.#plan = plan;
		this.#freshness = freshness;
		this.#groupSize = freshness ? MIN_CHECKED_ITEMS : MAX_GROUP_JOBS;
		this.#listener = listener;
	}

	/** The most items of the next group. */
	get groupSize(): number {
		return this.#groupSize;
	}

	/**
	 * Opens the batch, which holds its unfinished jobs.
	 * @throws FaenaError `BatchInUse`, `BatchConflict`, `Closed`
	 */
	async open(): Promise<void> {
		const {batch: name, group, batchOptions, pipe, fresh} = this.#plan;
		if (name === undefined) return;
		const renewal = fresh.includes('all') ? nanoid() : undefined;
		const opening = this.#client.verb('openBatch', name, pipe ? undefined : group.task, {...batchOptions, renewal, run: this.#run});
		this.#opening = opening;
		const {id, running, batch} = await opening;
		this.#batch = id;
		this.#running = new Set(running);
		const {counts, held = 0} = batch ?? {};
		this.#renewal = batch?.renewal;
		this.missing = held + running.length;
		// The jobs of a pipe's earlier stages are not in its groups.
		if (pipe) return;
		this.#jobsBefore = Object.values(counts ?? {}).reduce((sum, jobs) => sum + jobs, 0);
	}

	/**
	 * Sends the items to be enqueued, as one group.
	 * @param indexes of the items in the input, if they are in another order
	 * @throws FaenaError `BadOption`, `NotEncodable`, `TooLarge`, `KeyConflict`, and errors of the functions `key` and `payload`
	 */
	enqueue(items: readonly Item[], indexes?: readonly number[]): ItemGroup<Item> {
		const {group: common, batch, keyOf, encode, pipe} = this.#plan;
		if (pipe) return this.#enqueueUnits(pipe, items);
		const start = this.sent;
		const indexAt = (offset: number) => (indexes ? (indexes[offset] as number) : start + offset);
		const keys = keyOf && items.map((item, offset) => keyOf(item, indexAt(offset)));
		const payloads = items.map((item, offset) => encode(item, indexAt(offset)));
		const group = new ItemGroup(start, items, keys, indexes);
		if (common.rerun?.changed) for (const [offset, payload] of payloads.entries()) this.#keep(group.keyAt(offset), payload);
		this.sent += items.length;
		const answered = this.#expectAnswer();
		const numbers = batch === undefined ? undefined : indexes ? pack(indexes.map(index => `${index}`)) : start;
		const sent = {...common, values: pack(payloads), keys: keys ? this.#packKeys(keys) : numbers, ...this.#ofBatch};
		if (this.#freshness) this.#checking = this.#checking.then(() => this.#sendChecked(group, payloads, sent, answered));
		else this.#send(group, sent, answered, !common.rerun?.changed);
		return group;
	}

	/** What the groups of this run have. */
	get #ofBatch(): Pick<NewGroup, 'batch' | 'run'> {
		return this.#batch === undefined ? {} : {batch: this.#batch, run: this.#run};
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
	async #sendChecked(group: ItemGroup<Item>, payloads: readonly Encoded[], sent: NewGroup, answered: (take: () => void) => void): Promise<void> {
		try {
			const start = performance.now();
			const checked = this.#isOver ? undefined : await this.#check(group, payloads);
			// The map was left or ended meanwhile, and enqueues nothing more.
			if (!checked || this.#isOver) return answered(() => undefined);
			const isQuick = performance.now() - start < QUICK_CHECK_MS;
			this.#groupSize = isQuick ? Math.min(MAX_GROUP_JOBS, 2 * this.#groupSize) : Math.max(MIN_CHECKED_ITEMS, Math.floor(this.#groupSize / 2));
			group.checked = {verdicts: checked, payloads};
			this.#listener.checked(checked);
			const fingerprints = pack(checked.map(({fingerprint = null}) => fingerprint));
			const outdated = checked.flatMap(({isOutdated}, offset) => (isOutdated ? offset : []));
			this.#send(group, {...sent, fingerprints, ...(outdated.length > 0 && {outdated})}, answered);
		} catch (error) {
			answered(() => this.#listener.failed(error));
		}
	}

	async #check(group: ItemGroup<Item>, payloads: readonly Encoded[]): Promise<readonly Verdict[]> {
		const isFirst = this.#batch !== undefined && this.#jobsBefore === 0;
		const known = isFirst ? undefined : await this.#holders(group, [...group.items.keys()]);
		const {filesOf} = this.#plan;
		const files = filesOf && group.items.map((item, offset) => filesOf(item, group.indexAt(offset)));
		const question = questionOf(this.#plan, payloads, {files, known, renewal: this.#renewal});
		return (await (this.#freshness as OpenFreshness).check(question)).verdicts;
	}

	/** The jobs that items of the group have. */
	#holders(group: ItemGroup<Item>, offsets: readonly number[]): Promise<ReturnType<Verbs['holders']>> {
		const keys = offsets.map(offset => group.keyAt(offset));
		return this.#client.verb('holders', {task: this.#plan.group.task, batch: this.#batch}, keys);
	}

	/** Sends units of a pipe's items: jobs of all stages, in one transaction. */
	#enqueueUnits(pipe: PipePlan, units: readonly Item[]): ItemGroup<Item> {
		const start = this.sent;
		const group = new ItemGroup(start, units, undefined, undefined);
		const jobs = groupUnits(pipe, units, start, this.#batch);
		this.sent += units.length;
		const answered = this.#expectAnswer();
		const last = jobs.stages.at(-1) as StageJobs;
		this.#client.send(
			{type: 'verb', verb: 'addToFlow', args: [jobs.groups.map(each => ({...each, ...this.#ofBatch})), last.group]},
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
		this.#note(group, new Set(named));
		const range = rangeOf(ids, group.size);
		// If such a call fails, the engine is closed, and watches no job.
		const unwatch = range ? {ranges: [range]} : {ids: listIds(ids, group.size)};
		if (this.#isLeft) this.#client.call({type: 'unwatch', ...unwatch}).catch(() => undefined);
		else if (range) this.#watchRange(group, range);
		else for (let offset = 0; offset < group.size; offset++) this.#watchOne(group, offset);
	}

	/** @param missing a parent, or minus the batch */
	async #refuse(missing: JobId): Promise<void> {
		const lost = missing < 0 ? await this.batchLost().catch(() => undefined) : noParent(this.#plan.group.task, missing);
		this.#listener.failed(lost ?? deletedBatch(this.#plan.batch as string));
	}

	#conflictOf(key: string, id: JobId): FaenaError {
		const {group, batch} = this.#plan;
		const other = batch === undefined ? 'use another key' : 'give this map another batch name';
		const changed = `If the input has changed, add the option fresh: 'payload', which runs such items again; or ${other}.`;
		const advice = `${changed} If two items of this input have this key, give each a key of its own.`;
		return keyConflict({...group, key}, id, advice);
	}

	/** Notes which of the group's jobs this map has made, and which earlier maps had left unfinished. @param named the offsets of those that were held */
	#note(group: ItemGroup<Item>, named: ReadonlySet<number>): void {
		this.#firstMade = Math.min(this.#firstMade, firstMadeOf(group));
		const {ids, existing, unfinished} = group;
		for (const offset of existing) {
			const id = idAt(ids, offset);
			const flag = this.#flags.get(id);
			const wasLeft = this.#running.delete(id) || named.has(offset);
			const isNew = wasLeft || (this.#freshness !== undefined && flag === 0 && id < this.#firstMade);
			if (!isNew) continue;
			this.#jobsSeen++;
			this.#flags.set(id, wasLeft ? UNENDED : SEEN);
			if (!wasLeft) continue;
			unfinished.add(offset);
			this.missing--;
		}
	}

	#watchRange(group: ItemGroup<Item>, range: IdRange): void {
		const watcher: RangeWatcher = {
			completed: (first, jobs, start, end) => {
				const from = first - range.first;
				group.complete(from, jobs, start, end);
				this.#close(group, from, from + end - start, false);
				this.#compareFiles(group, from, from + end - start);
				if (group.open === 0) this.#groups.delete(watcher);
				this.#listener.completed(group, from, from + end - start);
			},
			ended: end => {
				this.#ended(group, end.id - range.first, end);
				if (group.open === 0) this.#groups.delete(watcher);
			},
			failed: error => this.#listener.failed(error),
		};
		this.#groups.set(watcher, group);
		this.#client.watchRange(range, watcher);
	}

	#watchOne(group: ItemGroup<Item>, offset: number): void {
		const watcher: Watcher = end => {
			this.#singles.delete(watcher);
			if (end instanceof FaenaError) this.#listener.failed(end);
			else this.#ended(group, offset, end);
		};
		this.#singles.set(watcher, {group, offset});
		this.#client.watch(idAt(group.ids, offset), watcher);
	}

	#ended(group: ItemGroup<Item>, offset: number, end: Notice): void {
		// A job that ran again may end before this map watches it.
		const reused = end.earlier === true && end.id < this.#firstMade && this.#flags.get(end.id) !== UNENDED && !group.wasToRun(offset);
		group.end(offset, end, reused);
		this.#close(group, offset, offset + 1, reused);
		if (!reused) this.#compareFiles(group, offset, offset + 1);
		this.#listener.ended(group, offset, end.status, reused);
	}

	/** The jobs from one offset up to another have ended. */
	#close(group: ItemGroup<Item>, from: number, to: number, isReused: boolean): void {
		this.underWay -= to - from;
		if (group.existing.size === 0 && this.#payloads.size === 0) return;
		for (let offset = from; offset < to; offset++) {
			this.#payloads.delete(group.keyAt(offset));
			if (!isReused && group.existing.has(offset)) this.#flags.set(idAt(group.ids, offset), UNENDED);
		}
	}

	/** The jobs from one offset up to another have ended: compares their files with what they were before. */
	#compareFiles(group: ItemGroup<Item>, from: number, to: number): void {
		const {checked} = group;
		if (!checked) return;
		const offsets = Array.from({length: to - from}, (_, index) => from + index).filter(offset => checked.verdicts[offset]?.files?.paths.length);
		if (offsets.length === 0) return;
		const comparison = this.#noteChanges(group, checked, offsets)
			// The engine was closed: then the notes are not written.
			.catch(() => undefined)
			.finally(() => this.#comparisons.delete(comparison));
		this.#comparisons.add(comparison);
	}

	/** Notes which jobs ran while their files changed, so that the next map runs these again, also if the change was undone. */
	async #noteChanges(group: ItemGroup<Item>, {verdicts, payloads}: NonNullable<ItemGroup<Item>['checked']>, offsets: readonly number[]): Promise<void> {
		const changed = await (this.#freshness as OpenFreshness).changed(offsets.map(offset => verdicts[offset]?.files as FilesSeen));
		if (changed.length === 0) return;
		const some = changed.map(index => offsets[index] as number);
		// Their jobs exist. What these have waited for may be gone.
		const {rerun: _, parents: __, ...common} = this.#plan.group;
		// With the code that has run.
		const {fingerprints} = await this.#holders(group, some);
		await this.#client.call({
			type: 'enqueue',
			watch: false,
			group: {
				...{...common, batch: this.#batch, keys: pack(some.map(offset => group.keyAt(offset)))},
				values: pack(some.map(offset => payloads[offset] as Encoded)),
				fingerprints: pack(fingerprints.map(ofChangedFiles)),
			},
		});
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
		this.#isEnding = true;
		// Groups under way must be in the queue first, or their jobs would be missed.
		await this.allAnswered();
		if (this.#plan.batch === undefined) this.#dropExisting();
		const open = [...this.#open()];
		const stages = this.#plan.pipe?.stages.slice(0, -1) ?? [];
		return [
			open.map(([group, offset]) => idAt(group.ids, offset)),
			...stages.map((_, stage) => open.flatMap(([group, offset]) => group.earlierIdsAt(stage, offset))).reverse(),
		];
	}

	/** The items whose jobs have not ended. */
	*#open(): Generator<readonly [group: ItemGroup<Item>, offset: number]> {
		for (const group of this.#groups.values()) for (let offset = 0; offset < group.size; offset++) if (group.isOpen(offset)) yield [group, offset];
		for (const {group, offset} of this.#singles.values()) yield [group, offset];
	}

	#dropExisting(): void {
		for (const [watcher, group] of this.#groups) {
			for (const offset of group.existing) {
				if (!group.isOpen(offset)) continue;
				const id = idAt(group.ids, offset);
				this.#client.unwatchRanges(new Set([watcher]), {first: id, last: id});
				this.#drop(group, offset);
			}
		}
		for (const [watcher, {group, offset}] of this.#singles) {
			if (!group.existing.has(offset)) continue;
			this.#singles.delete(watcher);
			this.#client.unwatch(idAt(group.ids, offset), watcher);
			this.#drop(group, offset);
		}
	}

	#drop(group: ItemGroup<Item>, offset: number): void {
		group.drop(offset);
		this.underWay--;
	}

	/** True once the map was left, halted or cancelled. */
	get #isOver(): boolean {
		return this.#isLeft || this.#isEnding;
	}

	/**
	 * Ends the input of the batch, and handles the jobs that are missing from it. Returns how many are gone. It stops once the map has left
	 * the batch, since another map may own it then, or has taken back its jobs, which are needed again.
	 * @throws FaenaError `NoSuchBatch` if the batch was deleted meanwhile, `BatchInUse` if another map owns it
	 */
	async endInput(): Promise<{readonly gone?: number}> {
		if (this.#batch === undefined) return {};
		const lost = await this.batchLost();
		if (this.#isOver) return {};
		if (lost) throw lost;
		this.missing = await this.#settleMissing();
		if (this.#isOver) return {};
		this.#hasInputEnded = await this.#client.verb('endInput', this.#batch, this.sent);
		if (this.#hasInputEnded) return this.#freshness ? {gone: this.#gone} : {};
		throw (await this.batchLost()) ?? takenOver(this.#plan.batch as string);
	}

	/** Does with the jobs that are held what the map is to do with them. Returns their number. */
	async #settleMissing(): Promise<number> {
		const {missing, batch = ''} = this.#plan;
		if (this.missing === 0) return 0;
		if (missing === 'hold') {
			const {held = 0} = (await this.#client.verb('batch', batch)) ?? {};
			// Of a pipe, each stage after the first names its jobs later.
			if (this.#plan.pipe || this.#running.size === 0) return held;
			const stillRun = {batch, status: 'running', ids: [...this.#running]} as const;
			return held + (await this.#client.verb('jobs', stillRun, {limit: this.#running.size})).jobs.length;
		}
		return this.#client.verb('endHold', {batch}, END_OF_HOLD[missing]);
	}

	/** Jobs of earlier maps that the input has not had. */
	get #gone(): number {
		return this.#jobsBefore - this.#jobsSeen;
	}

	/** Deletes the ended jobs that the input has not had. */
	async #deleteGone(): Promise<void> {
		const search = {batch: this.#plan.batch as string};
		for await (const {jobs} of pages(after => this.#client.verb('jobs', search, {after, limit: MAX_PAGE_JOBS}))) {
			const gone = jobs.filter(({id}) => id < this.#firstMade && this.#flags.get(id) === 0 && !this.#running.has(id)).map(({id}) => id);
			for (let from = 0; from < gone.length; from += MAX_GROUP_JOBS) await this.#client.verb('cleanup', {ids: gone.slice(from, from + MAX_GROUP_JOBS)});
		}
	}

	/** The error for the map if its batch was deleted, or another run has opened it since; `undefined` if it is this run's. */
	async batchLost(): Promise<FaenaError | undefined> {
		const name = this.#plan.batch as string;
		const batch = await this.#client.verb('batch', name);
		if (this.#batch === undefined) return undefined;
		if (batch?.id !== this.#batch) return deletedBatch(name);
		return batch.run === this.#run ? undefined : takenOver(name);
	}

	/**
	 * Stops waiting for the jobs, which run on, and frees the batch, so that the next map of it can begin. If every result was yielded, the
	 * batch is also closed, and `cleanup()` may delete its jobs. It is not closed if jobs that were missing from the input were kept: their
	 * results were not yielded.
	 * @param isDone true if the loop came to its end
	 */
	async leave({isDone}: {readonly isDone: boolean}): Promise<void> {
		this.#isLeft = true;
		this.#client.unwatchRanges(new Set(this.#groups.keys()));
		for (const [watcher, {group, offset}] of this.#singles) this.#client.unwatch(idAt(group.ids, offset), watcher);
		await Promise.all(this.#comparisons);
		if (this.#plan.batch === undefined) return;
		await this.allAnswered();
		const {id} = (await this.#opening?.catch(() => undefined)) ?? {};
		if (id === undefined) return;
		const leavesJobs = this.missing > 0 && (this.#plan.missing === 'hold' || this.#plan.missing === 'run');
		const hasAll = isDone && this.#hasInputEnded && !leavesJobs;
		try {
			await (hasAll ? this.#client.verb('closeBatch', id) : this.#client.verb('leaveBatch', id, isDone && this.#hasInputEnded));
			// Jobs of an open batch can't be deleted.
			if (hasAll && this.#plan.missing === 'delete' && this.#freshness && this.#gone > 0) await this.#deleteGone();
		} catch (error) {
			// The dispatcher tries again; or it has ended, which frees the batch, too. The loop's own error tells more.
			if (isDone) throw error;
		}
	}
}

function takenOver(name: string): FaenaError {
	const what = `This engine was silent for so long that another map took over its batch ${JSON.stringify(name)}.`;
	return new FaenaError('BatchInUse', `${what} Let that map end, then start this one again: it goes on with the batch.`);
}

function deletedBatch(name: string): FaenaError {
	const what = `The batch ${JSON.stringify(name)} was deleted while this map of it was under way.`;
	return new FaenaError('NoSuchBatch', `${what} Start the map again to begin a new batch.`);
}

const IDS_PER_PAGE = 1024;

/** A flag of each job id, in pages: ten million ids that lie close together take ten megabytes. */
export class IdFlags {
	readonly #pages = new Map<number, Uint8Array>();

	/** 0 if it was not set. */
	get(id: JobId): number {
		return this.#pages.get(Math.floor(id / IDS_PER_PAGE))?.[id % IDS_PER_PAGE] ?? 0;
	}

	set(id: JobId, flag: number): void {
		const page = Math.floor(id / IDS_PER_PAGE);
		const flags = this.#pages.get(page) ?? new Uint8Array(IDS_PER_PAGE);
		flags[id % IDS_PER_PAGE] = flag;
		this.#pages.set(page, flags);
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

/** The first of the group's jobs that did not exist; `Infinity` if all did. */
function firstMadeOf<Item>({ids, existing, size}: ItemGroup<Item>): JobId {
	if (existing.size === 0 && typeof ids === 'number') return ids;
	let first = Infinity;
	for (let offset = 0; offset < size; offset++) if (!existing.has(offset)) first = Math.min(first, idAt(ids, offset));
	return first;
}

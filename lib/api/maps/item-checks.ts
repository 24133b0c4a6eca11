import type {FilesSeen} from '../../freshness/files.ts';
import {ofChangedFiles} from '../../freshness/fingerprint.ts';
import type {Verdict} from '../../freshness/messages.ts';
import type {OpenFreshness} from '../../freshness/open-freshness.ts';
import type {Encoded} from '../../job/encoding.ts';
import {MAX_GROUP_JOBS} from '../../job/groups/group.ts';
import {pack} from '../../job/groups/packed.ts';
import type {DispatcherClient} from '../../transport/client.ts';
import type {Verbs} from '../../transport/messages.ts';
import type {MapBatch} from './map-batch.ts';
import {questionOf} from './map-freshness.ts';
import type {ItemGroup} from './map-items.ts';
import type {MapPlan} from './map-options.ts';

/** The fewest items that are checked together. */
const MIN_CHECKED_ITEMS = 16;
/** A check that takes less time lets the next group be larger. */
const QUICK_CHECK_MS = 50;

/** Finds out which items of a map are out of date, before their group is sent, and whose files have changed while their jobs ran. */
export class ItemChecks<Item> {
	readonly #client: DispatcherClient;
	readonly #plan: MapPlan<Item>;
	readonly #batch: MapBatch<Item>;
	readonly #freshness: OpenFreshness;
	/** The most items of the next group. It grows while checks are quick: of large files the first ones are to start before all are looked at. */
	groupSize = MIN_CHECKED_ITEMS;
	/** The last check; the next group waits for it, so that groups are enqueued in order. */
	#last: Promise<void> = Promise.resolve();
	/** Comparisons of the files of ended jobs that are not done. */
	readonly #comparisons = new Set<Promise<void>>();

	constructor(client: DispatcherClient, plan: MapPlan<Item>, batch: MapBatch<Item>, freshness: OpenFreshness) {
		this.#client = client;
		this.#plan = plan;
		this.#batch = batch;
		this.#freshness = freshness;
	}

	/** Does this, which must not throw, once what was to be done before is done. */
	inTurn(work: () => Promise<void>): void {
		this.#last = this.#last.then(work);
	}

	/** What has changed of each item of the group since its job ran. */
	async check(group: ItemGroup<Item>, payloads: readonly Encoded[]): Promise<readonly Verdict[]> {
		const start = performance.now();
		const isFirst = this.#batch.id !== undefined && this.#batch.earlier.areNone;
		const known = isFirst ? undefined : await this.#holders(group, [...group.items.keys()]);
		const verdicts = await this.#freshness.ask('check', questionOf(this.#plan, group, payloads, {known, renewal: this.#batch.renewal}));
		const isQuick = performance.now() - start < QUICK_CHECK_MS;
		this.groupSize = isQuick ? Math.min(MAX_GROUP_JOBS, 2 * this.groupSize) : Math.max(MIN_CHECKED_ITEMS, Math.floor(this.groupSize / 2));
		return verdicts;
	}

	/** The jobs that items of the group have. */
	#holders(group: ItemGroup<Item>, offsets: readonly number[]): Promise<ReturnType<Verbs['holders']>> {
		const keys = offsets.map(offset => group.keyAt(offset));
		return this.#client.verb('holders', {task: this.#plan.group.task, batch: this.#batch.id}, keys);
	}

	/** The jobs from one offset up to another have ended: compares their files with what they were before. */
	compareFiles(group: ItemGroup<Item>, from: number, to: number): void {
		const {checked} = group;
		if (!checked) return;
		const offsets = Array.from({length: to - from}, (_, index) => from + index).filter(offset => checked.verdicts[offset]?.files?.paths.length);
		if (offsets.length === 0) return;
		const comparison = this.#noteChanges(
			group,
			checked.verdicts,
			offsets,
			offsets.map(offset => checked.payloads[offset] as Encoded),
		)
			// The engine was closed: then the notes are not written.
			.catch(() => undefined)
			.finally(() => this.#comparisons.delete(comparison));
		this.#comparisons.add(comparison);
	}

	/** Notes which jobs ran while their files changed, so that the next map runs these again, also if the change was undone. */
	async #noteChanges(group: ItemGroup<Item>, verdicts: readonly Verdict[], offsets: readonly number[], payloads: readonly Encoded[]): Promise<void> {
		const seen = offsets.map(offset => verdicts[offset]?.files as FilesSeen);
		const changed = await this.#freshness.ask('changed', seen);
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
				...{...common, batch: this.#batch.id, keys: pack(some.map(offset => group.keyAt(offset)))},
				values: pack(changed.map(index => payloads[index] as Encoded)),
				fingerprints: pack(fingerprints.map(ofChangedFiles)),
			},
		});
	}

	/** Resolves once all files are compared. */
	async done(): Promise<void> {
		await Promise.all(this.#comparisons);
	}
}

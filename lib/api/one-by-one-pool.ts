import type {Lease} from '../job/claim.ts';
import {type ClaimedGroup, type EndedGroup, idAt} from '../job/groups/group.ts';
import {toReleased} from '../job/groups/single-jobs.ts';
import type {JobId, StopReason} from '../job/job.ts';
import type {TaskInfo} from '../job/task/task.ts';
import type {Capacity, Lane, Pool, PoolListener} from '../pool/pool.ts';
import type {Store} from '../store/store.ts';
import {DirectUpdateWriter} from './direct-updates.ts';
import {warn} from './events.ts';

/** An inline pool whose chunks have one job. It leaves jobs to an engine that seem to end their program. */
export class OneByOnePool implements Pool {
	readonly slots: number;
	readonly maxJobs = 1;
	readonly #pool: Pool;
	readonly #listener: PoolListener;
	readonly #updates: DirectUpdateWriter;
	/** Tasks whose suspects it no longer takes. Suspects are claimed in order, so the job that was left would come first each time. */
	readonly #left = new Set<string>();
	/** By id, each job from its start until the dispatcher has its outcome. */
	readonly #running = new Map<JobId, PromiseWithResolvers<void>>();

	constructor(store: Store, slots: number, listener: PoolListener, makePool: (listener: PoolListener) => Pool) {
		this.slots = slots;
		this.#listener = listener;
		this.#updates = new DirectUpdateWriter(store);
		this.#pool = makePool({
			updated: update => this.#updates.add(update),
			ended: (task, groups) => void this.#ended(task, groups),
			freed: () => listener.freed(),
			...{lost: () => undefined, startsSlowly: () => undefined, memoryShort: () => undefined},
		});
	}

	async #ended(task: string, groups: readonly EndedGroup[]): Promise<void> {
		for (const update of await this.#updates.takeUnwritten(groups.map(({ids}) => idAt(ids, 0)))) this.#listener.updated(update);
		this.#listener.ended(task, groups);
		for (const {ids} of groups) {
			this.#running.get(idAt(ids, 0))?.resolve();
			this.#running.delete(idAt(ids, 0));
		}
		this.#listener.freed();
	}

	get size(): number {
		return this.#running.size;
	}

	capacity(lane?: Lane): Capacity {
		const isLeft = lane?.quarantined && this.#left.has(lane.task);
		return {idle: isLeft ? 0 : Math.min(this.#pool.capacity().idle, this.slots - this.#running.size), prefetch: 0};
	}

	run(chunk: ClaimedGroup): void {
		if (chunk.quarantine === 'alone') this.#leave(chunk);
		else {
			this.#running.set(idAt(chunk.ids, 0), Promise.withResolvers());
			this.#pool.run({...chunk, quarantine: undefined});
		}
	}

	/** A loop in the caller's thread can't find out whether the job ends its program. */
	#leave(chunk: ClaimedGroup): void {
		const {task, ids} = chunk;
		this.#left.add(task);
		this.#listener.ended(task, [toReleased(chunk)]);
		const error = new Error(
			`It seems to end the program that runs it, so work() does not run it any more, nor other jobs of task ${task} that ran when a program ended. ` +
				'An engine runs them in child processes: open() one on this queue with these tasks. Or cancel the job.',
		);
		warn('refused', {id: idAt(ids, 0), error});
	}

	load(): Promise<readonly TaskInfo[]> {
		return this.#pool.load();
	}

	stop(id: JobId, reason: StopReason, lease?: Lease): boolean {
		return this.#pool.stop(id, reason, lease);
	}

	release(task?: string): Promise<void> {
		return this.#pool.release(task);
	}

	confirmStops(): Promise<void> {
		return this.#pool.confirmStops();
	}

	interrupt(): void {
		this.#pool.interrupt();
	}

	async close(): Promise<void> {
		await Promise.all([...this.#running.values()].map(({promise}) => promise));
		await this.#pool.close();
	}
}

import {type ClaimedGroup, type EndedGroup, idAt} from '../job/groups/group.ts';
import {toReleased} from '../job/groups/single-jobs.ts';
import type {JobId} from '../job/job.ts';
import type {Pool, PoolListener} from '../pool/pool.ts';
import type {Store} from '../store/store.ts';
import {DirectUpdateWriter} from './direct-updates.ts';
import {warn} from './events.ts';

/** An inline pool whose chunks have one job. It leaves jobs to an engine that seem to end their program. */
export function oneByOnePool(store: Store, slots: number, listener: PoolListener, makePool: (listener: PoolListener) => Pool): Pool {
	const updates = new DirectUpdateWriter(store);
	/** Tasks whose suspects it no longer takes. Suspects are claimed in order, so the job that was left would come first each time. */
	const left = new Set<string>();
	/** By id, each job from its start until the dispatcher has its outcome. */
	const running = new Map<JobId, PromiseWithResolvers<void>>();
	const pool = makePool({
		updated: update => updates.add(update),
		ended: (task, groups) => void ended(task, groups),
		freed: () => listener.freed(),
		...{lost: () => undefined, startsSlowly: () => undefined, memoryShort: () => undefined},
	});

	async function ended(task: string, groups: readonly EndedGroup[]): Promise<void> {
		for (const update of await updates.takeUnwritten(groups.map(({ids}) => idAt(ids, 0)))) listener.updated(update);
		listener.ended(task, groups);
		for (const {ids} of groups) {
			running.get(idAt(ids, 0))?.resolve();
			running.delete(idAt(ids, 0));
		}
		listener.freed();
	}

	/** A loop in the caller's thread can't find out whether the job ends its program. */
	function leave(chunk: ClaimedGroup): void {
		const {task, ids} = chunk;
		left.add(task);
		listener.ended(task, [toReleased(chunk)]);
		const error = new Error(
			`It seems to end the program that runs it, so work() does not run it any more, nor other jobs of task ${task} that ran when a program ended. ` +
				'An engine runs them in child processes: open() one on this queue with these tasks. Or cancel the job.',
		);
		warn('refused', {id: idAt(ids, 0), error});
	}

	return {
		slots,
		maxJobs: 1,
		get size() {
			return running.size;
		},
		capacity(lane) {
			const isLeft = lane?.quarantined && left.has(lane.task);
			return {idle: isLeft ? 0 : Math.min(pool.capacity().idle, slots - running.size), prefetch: 0};
		},
		run(chunk) {
			if (chunk.quarantine === 'alone') return leave(chunk);
			running.set(idAt(chunk.ids, 0), Promise.withResolvers());
			pool.run({...chunk, quarantine: undefined});
		},
		load: () => pool.load(),
		stop: (id, reason, lease) => pool.stop(id, reason, lease),
		release: task => pool.release(task),
		confirmStops: () => pool.confirmStops(),
		interrupt: () => pool.interrupt(),
		async close() {
			await Promise.all([...running.values()].map(({promise}) => promise));
			await pool.close();
		},
	};
}

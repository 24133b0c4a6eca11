import {toFailure} from '../job/failure.ts';
import {type ClaimedGroup, indexOf, sizeOf} from '../job/groups/group.ts';
import type {Committed} from '../store/store.ts';
import {ms, trace} from '../support/trace.ts';
import {jobsIn} from './chunk-cutter.ts';
import type {Writes} from './waiting-writes.ts';

/** A line for a transaction: what it wrote and claimed, how long it took, and why the loop ran. */
export function traceCommit({claimed, enqueued, expired = [], backlog}: Committed, {updates, settle, enqueues}: Writes, durationMs: number, why: string): void {
	const counts = {
		updated: updates.length,
		settled: jobsIn(settle),
		enqueued: jobsIn(enqueues.flatMap(({group}, index) => (enqueued[index]?.full ? [] : group))),
		'of them known': enqueued.reduce((jobs, {reused = [], conflicts = []}) => jobs + reused.length + conflicts.length, 0),
		expired: expired.length,
		claimed: jobsIn(claimed.groups),
		'still ready': backlog,
	};
	const did = Object.entries(counts).flatMap(([what, count]) => (count > 0 ? `${what} ${count}` : []));
	trace?.('commit', `${ms(durationMs)}: ${did.join(', ') || 'nothing'}; the loop ran for ${why}`, id => {
		const made = enqueues.map(({group: {values}}, index) => ({values, ids: enqueued[index]?.ids ?? []}));
		return expired.includes(id) || updates.some(update => update.id === id) || [...settle, ...claimed.groups, ...made].some(group => indexOf(group, id) >= 0);
	});
}

export function traceFailure(error: unknown, durationMs: number, why: string): void {
	trace?.('commit', `${ms(durationMs)}: failed by ${toFailure(error).message}; the loop ran for ${why}`);
}

const claimedAt = new WeakMap<ClaimedGroup, number>();

/** A chunk is claimed, and waits until the pool takes it. */
export function traceClaimed(chunk: ClaimedGroup): void {
	claimedAt.set(chunk, performance.now());
}

export function traceTaken(chunk: ClaimedGroup): void {
	const after = ms(performance.now() - (claimedAt.get(chunk) ?? NaN));
	trace?.('pool', `has taken ${sizeOf(chunk)} of ${chunk.task}, ${after} after their claim`, id => indexOf(chunk, id) >= 0);
}

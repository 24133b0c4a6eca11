import {type ClaimedGroup, idAt, indexOf} from '../job/groups/group.ts';
import {PackedTimes} from '../job/groups/packed-times.ts';
import {ms, trace} from '../support/trace.ts';
import type {OutcomesMessage} from '../worker/messages.ts';
import type {PoolWorker} from './pool.ts';

interface TracedChunk {
	readonly number: number;
	readonly worker: PoolWorker;
	readonly group: ClaimedGroup;
	readonly size: number;
	readonly onEnd: (() => void)[];
}

/** Times of a chunk in the wall clock, as far as they are known. */
interface Way {
	readonly givenAt: number;
	sentAt?: number;
	firstStartedAt?: number;
	endedAt?: number;
}

const ways = new WeakMap<TracedChunk, Way>();

/** Follows a chunk, for a line once nothing more comes of it. */
export function traceGiven(chunk: TracedChunk): void {
	const way: Way = {givenAt: Date.now()};
	ways.set(chunk, way);
	chunk.onEnd.push(() => traceEnd(chunk, way));
}

export function traceSent(chunk: TracedChunk): void {
	const way = ways.get(chunk);
	if (way) way.sentAt = Date.now();
}

export function traceReport(chunk: TracedChunk, {times}: OutcomesMessage): void {
	const way = ways.get(chunk);
	const packed = new PackedTimes(times);
	if (!way || packed.count === 0) return;
	for (let index = 0; index < packed.count; index++) {
		const {startedAt, durationMs} = packed.at(index);
		// It was taken back, or has expired.
		if (startedAt === 0) continue;
		way.firstStartedAt ??= startedAt;
		way.endedAt = startedAt + durationMs;
	}
}

function traceEnd(chunk: TracedChunk, {givenAt, sentAt, firstStartedAt, endedAt}: Way): void {
	const {number, worker, group, size} = chunk;
	const ids = size === 1 ? `job ${idAt(group.ids, 0)}` : `${size} jobs, ${idAt(group.ids, 0)} to ${idAt(group.ids, size - 1)},`;
	const spans = [
		['loading', givenAt, sentAt],
		['waiting in the worker', sentAt, firstStartedAt],
		['running', firstStartedAt, endedAt],
		['reporting', endedAt, Date.now()],
	] as const;
	const shown = spans.flatMap(([what, from, to]) => (from === undefined || to === undefined ? [] : `${what} ${ms(Math.max(0, to - from))}`));
	trace?.('chunk', `${number}: ${ids} of ${group.task} by ${worker.name ?? worker.kind}: ${shown.join(', ')}`, id => indexOf(group, id) >= 0);
}

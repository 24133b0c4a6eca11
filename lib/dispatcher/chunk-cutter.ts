import {cutClaimed, joinClaimed} from '../job/groups/cut-and-join.ts';
import {type ClaimedGroup, sizeOf} from '../job/groups/group.ts';

/** A group that fills this share of a chunk is a chunk by itself: joined with others it would need a list for each of its columns. */
const MIN_CHUNK_SHARE = 1 / 8;

/** Cuts groups of one task into chunks, in order. `mostOf` is the most jobs of the next chunk, if so many are left. */
export function cutIntoChunks(groups: readonly ClaimedGroup[], mostOf: (left: number) => number): ClaimedGroup[] {
	const chunks: ClaimedGroup[][] = [];
	let chunk: ClaimedGroup[] = [];
	let left = jobsIn(groups);
	let [most, room] = [0, 0];
	const isLarge = (jobs: number) => jobs > 1 && jobs >= most * MIN_CHUNK_SHARE;
	for (const group of groups) {
		for (let start = 0; start < sizeOf(group); ) {
			if (room === 0 || isLarge(Math.min(sizeOf(group) - start, most))) {
				most = mostOf(left);
				room = most;
				chunk = [];
				chunks.push(chunk);
			}
			const count = Math.min(sizeOf(group) - start, room);
			chunk.push(cutClaimed(group, start, start + count));
			start += count;
			left -= count;
			room = chunk.length === 1 && isLarge(count) ? 0 : room - count;
		}
	}
	return chunks.map(joinClaimed);
}

export function jobsIn(groups: readonly Parameters<typeof sizeOf>[0][]): number {
	return groups.reduce((sum, group) => sum + sizeOf(group), 0);
}

import {type ClaimedGroup, cutClaimed, joinClaimed, sizeOf} from '../job/group.ts';

/** A group that fills this share of a chunk is a chunk by itself. */
const MIN_CHUNK_SHARE = 1 / 8;

/** Cuts groups of one task into chunks, in order. */
export class ChunkCutter {
	readonly #groups: readonly ClaimedGroup[];
	/** The group that is cut next. */
	#index = 0;
	/** How many of its jobs were taken. */
	#offset = 0;

	constructor(groups: readonly ClaimedGroup[]) {
		this.#groups = groups;
	}

	/** How many jobs are left. */
	get length(): number {
		return this.#groups.slice(this.#index).reduce((sum, group) => sum + sizeOf(group), -this.#offset);
	}

	/** The next jobs, at most `most`. They are fewer if another group follows, and these jobs fill enough of a chunk. */
	take(most: number): ClaimedGroup {
		const taken: ClaimedGroup[] = [];
		let room = most;
		for (let group = this.#groups[this.#index]; group && room > 0; group = this.#groups[this.#index]) {
			if (taken[0] && !canJoin(taken[0], group)) break;
			const size = sizeOf(group);
			const end = Math.min(size, this.#offset + room);
			taken.push(cutClaimed(group, this.#offset, end));
			const count = end - this.#offset;
			room -= count;
			this.#offset = end < size ? end : 0;
			if (end === size) this.#index++;
			if (taken.length === 1 && count > 1 && count >= most * MIN_CHUNK_SHARE) break;
		}
		return joinClaimed(taken);
	}
}

function canJoin(a: ClaimedGroup, b: ClaimedGroup): boolean {
	return a.policy === b.policy && a.quarantine === b.quarantine;
}

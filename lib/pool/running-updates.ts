import type {Claim, JobUpdate} from '../job/claim.ts';
import type {ClaimedGroup} from '../job/groups/group.ts';
import {claimAt} from '../job/groups/single-jobs.ts';
import type {Progress} from '../job/job.ts';
import type {Clock} from '../support/clock.ts';
import type {PoolChunkState, PoolListener} from './pool.ts';
import {isProgress} from './worker-reports.ts';

/** The jobs that run, one or those of a micro-batch, and since when on the pool's steady clock. */
export interface RunningJobs {
	readonly indexes: readonly number[];
	readonly since: number;
}

/** What is told of a chunk's jobs while they run: that they have started, their progress, checkpoints and log lines. */
export class RunningUpdates {
	/** The last progress, by index. */
	readonly progress = new Map<number, Progress>();
	/** By index: which progress of the execution that is. */
	readonly #nth = new Map<number, number>();
	/** The index of the first of the jobs whose start was told last. */
	#started = -1;
	readonly #chunk: {readonly group: ClaimedGroup; readonly chunkState: PoolChunkState};
	readonly #listener: PoolListener;
	readonly #clock: Clock;

	constructor(chunk: {readonly group: ClaimedGroup; readonly chunkState: PoolChunkState}, listener: PoolListener, clock: Clock) {
		this.#chunk = chunk;
		this.#listener = listener;
		this.#clock = clock;
	}

	/** Progress comes by messages and by the chunk's state, so one may arrive twice, or after a later one: it is left out. */
	tell(index: number, {nth = 0, progress, ...others}: Omit<JobUpdate, keyof Claim> & {readonly nth?: number}): void {
		const isLater = progress !== undefined && nth > (this.#nth.get(index) ?? 0);
		if (isLater) {
			this.#nth.set(index, nth);
			this.progress.set(index, progress);
		} else if (Object.keys(others).length === 0) return;
		const {group} = this.#chunk;
		this.#listener.updated({...claimAt(group, index), ...others, ...(isLater && {progress}), claimed: group});
	}

	/** Tells the start of jobs that have run for long, once. */
	tellStarts({indexes, since}: RunningJobs): void {
		const [first = -1] = indexes;
		if (this.#started === first) return;
		this.#started = first;
		const startedAt = Math.round(this.#clock.now() - (this.#clock.steadyMs() - since));
		for (const index of indexes) this.tell(index, {startedAt});
	}

	/** Tells the progress of the running job, if it is new. */
	tellProgress(): void {
		const {chunkState} = this.#chunk;
		const index = chunkState.running()?.index;
		const said = chunkState.progress();
		if (said && index !== undefined && isProgress(said.progress)) this.tell(index, said);
	}
}

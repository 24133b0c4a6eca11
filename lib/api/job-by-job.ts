import type {JobUpdate} from '../job/claim.ts';
import {MAX_VALUE_LIMIT_BYTES} from '../job/encoding.ts';
import type {ClaimedGroup, EndedGroup} from '../job/group.ts';
import type {JobId, StopReason} from '../job/job.ts';
import type {PoolOptions} from '../job/options.ts';
import type {TaskInfo} from '../job/task.ts';
import {inlinePool} from '../pool/inline.ts';
import type {PoolListener} from '../pool/pool.ts';
import type {WorkerPool} from '../pool/worker-pool.ts';
import {defined} from '../support/defined.ts';
import {standIn} from '../worker/tasks-module.ts';

const OPTIONS: Omit<PoolOptions, 'tasks'> = {
	...{workers: 1, isolation: 'inline', defaults: {}, maxValueBytes: MAX_VALUE_LIMIT_BYTES, maxCheckpointBytes: MAX_VALUE_LIMIT_BYTES, taskOutput: 'inherit'},
	// A job in the caller's thread can't be ended by force.
	graceMs: Infinity,
	...{resourceLimits: undefined, env: undefined, execArgv: [], nice: undefined, minFreeMemoryBytes: 0, postMortem: false},
	recycle: {jobs: Infinity, ageMs: Infinity, memoryBytes: Infinity},
};

/** Runs jobs in the caller's thread, one after the other, with an inline pool of one worker. */
export class JobByJob implements PoolListener {
	readonly #tasks: object;
	readonly #url: string;
	readonly #pool: WorkerPool;
	#onEnded: (group: EndedGroup) => void = () => undefined;
	#onUpdated: (update: JobUpdate) => void = () => undefined;

	/** @param openJobs the file in which it records which job it has open */
	constructor(tasks: object, owner: string, openJobs: string | undefined) {
		this.#tasks = tasks;
		this.#url = `faena:work/${owner}`;
		this.#pool = inlinePool({...OPTIONS, tasks: this.#url, ...defined({openJobs})}, this);
	}

	/**
	 * Sets the tasks up.
	 * @throws FaenaError `BadOption`, `SetupFailed`
	 */
	async load(): Promise<readonly TaskInfo[]> {
		standIn(this.#url, this.#tasks);
		try {
			return await this.#pool.load();
		} catch (error) {
			await this.#pool.close();
			throw error;
		} finally {
			standIn(this.#url, undefined);
		}
	}

	/** Resolves once the job has ended. */
	run(job: ClaimedGroup, onUpdated: (update: JobUpdate) => void): Promise<EndedGroup> {
		this.#onUpdated = onUpdated;
		return new Promise(resolve => {
			this.#onEnded = resolve;
			this.#pool.run({...job, quarantine: undefined});
		});
	}

	/** Tells the running job to stop. */
	stop(id: JobId, reason: StopReason): void {
		this.#pool.stop(id, reason);
	}

	close(): Promise<void> {
		return this.#pool.close();
	}

	ended(_task: string, groups: readonly EndedGroup[]): void {
		for (const group of groups) this.#onEnded(group);
	}

	updated(update: JobUpdate): void {
		this.#onUpdated(update);
	}

	freed(): void {}

	lost(): void {}

	startsSlowly(): void {}

	memoryShort(): void {}
}

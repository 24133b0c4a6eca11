import type {BatchId} from '../job/batch.ts';
import type {JobUpdate, Outcome} from '../job/claim.ts';
import type {EngineEvents, JobEvent} from '../job/events.ts';
import {type ClaimedGroup, type EndedGroup, indexOf, isEach} from '../job/groups/group.ts';
import {claimedJobAt} from '../job/groups/single-jobs.ts';
import type {JobId} from '../job/job.ts';
import type {JobPage} from '../store/found-jobs.ts';
import type {Settled, Store} from '../store/store.ts';
import {defined} from '../support/defined.ts';

/** With so many batches known, their names are read anew. */
const MAX_NAMES = 1000;

type Executed = Omit<EngineEvents['failed'][0], 'error'>;
type AboutJob = Pick<EngineEvents['failed'][0], 'task' | 'batch' | 'key' | 'attempt'>;

/** Makes the events of jobs. What they say of a job was claimed with it, but for the name of its batch, which is read once. */
export class JobEvents {
	readonly #store: Pick<Store, 'batches' | 'jobs'>;
	/** `undefined` for a batch that is gone. */
	readonly #names = new Map<BatchId, string | undefined>();

	constructor(store: Pick<Store, 'batches' | 'jobs'>) {
		this.#store = store;
	}

	/** Reads the names of the batches of these jobs. Comes before their events. */
	async learn(groups: Iterable<ClaimedGroup | undefined>): Promise<void> {
		if (this.#names.size > MAX_NAMES) this.#names.clear();
		const ids = new Set([...groups].flatMap(group => group?.batches ?? []));
		for (const id of ids) {
			if (!id || this.#names.has(id)) continue;
			const [batch] = (await this.#store.batches({}, {after: id - 1, limit: 1})).batches;
			this.#names.set(id, batch?.id === id ? batch.name : undefined);
		}
	}

	/** The event of an execution that ended so, if there is one. */
	ended({claimed, worker}: EndedGroup, id: JobId, outcome: Outcome, type: Settled): JobEvent | undefined {
		if (!claimed || (type !== 'completed' && type !== 'failed' && type !== 'dead' && type !== 'cancelled')) return undefined;
		const about: {-readonly [Name in keyof Executed]: Executed[Name]} = {id, ...this.#about(claimed, id), ...defined({worker, durationMs: outcome.durationMs})};
		if (type === 'completed') return {type, ...about, durationMs: outcome.durationMs ?? 0};
		const error = 'error' in outcome ? outcome.error : undefined;
		if (error?.attempt !== undefined) about.attempt = error.attempt;
		if (type === 'cancelled') return {type, ...about, ...(error && {error})};
		if (!error) return undefined;
		if (type === 'failed') return {type, ...about, error};
		return {type, ...about, error, why: error.reason === 'poison' ? 'maxCrashes' : error.retry === 'never' ? 'noRetry' : 'maxAttempts'};
	}

	updated({id, progress, logs = []}: JobUpdate, claimed: ClaimedGroup): JobEvent[] {
		const about = {id, ...this.#about(claimed, id)};
		const told = progress && {...about, type: 'progress' as const, done: progress.done, ...defined({total: progress.total})};
		return [...(told ? [told] : []), ...logs.map(line => ({...about, type: 'log' as const, ...line}))];
	}

	/** The events of jobs that were cancelled while they did not run, and still exist. */
	async cancelled(ids: readonly JobId[]): Promise<JobEvent[]> {
		const events: JobEvent[] = [];
		for (let page: JobPage | undefined; ids.length > 0 && page?.next !== null; ) {
			page = await this.#store.jobs({ids}, page?.next ? {after: page.next} : {});
			for (const {id, task, batch, key, error} of page.jobs) events.push({type: 'cancelled', id, task, ...defined({batch, key, error})});
		}
		return events;
	}

	#about(claimed: ClaimedGroup, id: JobId): AboutJob {
		const index = indexOf(claimed, id);
		const {task, key, attempts} = claimedJobAt(claimed, index);
		const batch = isEach(claimed.batches) ? claimed.batches[index] : claimed.batches;
		return {task, ...defined({batch: this.#names.get(batch ?? 0), key}), attempt: attempts + 1};
	}
}

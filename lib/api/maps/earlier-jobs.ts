import {idAt} from '../../job/groups/group.ts';
import type {JobId} from '../../job/job.ts';
import type {Notice} from '../../transport/messages.ts';
import type {ItemGroup} from './map-items.ts';

/** The flag of jobs that had not ended when this map began, or when it first enqueued their items. */
const UNENDED = 1;
/** The flag of other jobs of earlier maps that the input has had. */
const SEEN = 2;

/** Which jobs earlier maps of the batch have made, which of them had not ended, and which the input has not had so far. */
export class EarlierJobs {
	/** Unfinished jobs that the input has not had so far. */
	missing = 0;
	/** The first job that this map has made. Jobs with higher ids had not ended when the map began. */
	#firstMade: JobId = Infinity;
	/** Jobs that were running when this map began, and that the input has not had so far. */
	readonly #running: Set<JobId>;
	/** Jobs with lower ids: those {@link UNENDED}, and those {@link SEEN}. */
	readonly #flags = new IdFlags();
	/** Whether {@link SEEN} and {@link gone} are wanted. */
	readonly #countsSeen: boolean;
	/** The number of jobs that the batch had, and of those among them that the input has had. */
	readonly #before: number;
	#seen = 0;

	/** @param before the number of jobs that the batch has */
	constructor(countsSeen: boolean, before = 0, held = 0, running: readonly JobId[] = []) {
		this.#countsSeen = countsSeen;
		this.#before = before;
		this.#running = new Set(running);
		this.missing = held + running.length;
	}

	/** True if there were none. */
	get areNone(): boolean {
		return this.#before === 0;
	}

	get running(): readonly JobId[] {
		return [...this.#running];
	}

	/** Jobs that the input has not had. */
	get gone(): number {
		return this.#before - this.#seen;
	}

	isGone(id: JobId): boolean {
		return id < this.#firstMade && this.#flags.get(id) === 0 && !this.#running.has(id);
	}

	/** Notes which of the group's jobs this map has made, and which earlier maps had left unfinished. @param named the offsets of those that were held */
	note(group: ItemGroup<unknown>, named: ReadonlySet<number>): void {
		this.#firstMade = Math.min(this.#firstMade, firstMadeOf(group));
		const {ids, existing, unfinished} = group;
		for (const offset of existing) {
			const id = idAt(ids, offset);
			const flag = this.#flags.get(id);
			const wasLeft = this.#running.delete(id) || named.has(offset);
			const isNew = wasLeft || (this.#countsSeen && flag === 0 && id < this.#firstMade);
			if (!isNew) continue;
			this.#seen++;
			this.#flags.set(id, wasLeft ? UNENDED : SEEN);
			if (!wasLeft) continue;
			unfinished.add(offset);
			this.missing--;
		}
	}

	/** True if the job had ended before this map. One that ran again may end before this map watches it. */
	hadEnded({id, earlier}: Notice): boolean {
		return earlier === true && id < this.#firstMade && this.#flags.get(id) !== UNENDED;
	}

	/** The existing job has run in this map. */
	hasRun(id: JobId): void {
		this.#flags.set(id, UNENDED);
	}
}

/** The first of the group's jobs that did not exist; `Infinity` if all did. */
function firstMadeOf({ids, existing, size}: ItemGroup<unknown>): JobId {
	if (existing.size === 0 && typeof ids === 'number') return ids;
	let first = Infinity;
	for (let offset = 0; offset < size; offset++) if (!existing.has(offset)) first = Math.min(first, idAt(ids, offset));
	return first;
}

const IDS_PER_PAGE = 1024;

/** A flag of each job id, in pages: ten million ids that lie close together take ten megabytes. */
export class IdFlags {
	readonly #pages = new Map<number, Uint8Array>();

	/** 0 if it was not set. */
	get(id: JobId): number {
		return this.#pages.get(Math.floor(id / IDS_PER_PAGE))?.[id % IDS_PER_PAGE] ?? 0;
	}

	set(id: JobId, flag: number): void {
		const page = Math.floor(id / IDS_PER_PAGE);
		const flags = this.#pages.get(page) ?? new Uint8Array(IDS_PER_PAGE);
		flags[id % IDS_PER_PAGE] = flag;
		this.#pages.set(page, flags);
	}
}

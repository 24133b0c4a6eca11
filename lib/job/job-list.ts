import type {DequeuedJob} from './claim.ts';
import type {JobId} from './job.ts';
import {slicePacked} from './packed-strings.ts';
import {type DequeuedRun, expandDequeued, isDequeuedRun} from './runs.ts';

/** A run that is shorter than this share of a chunk is not worth a message of its own. */
const WORTHWHILE = 1 / 8;

/** What is known of a job that was dequeued, besides its payload. */
export type KnownJob = Omit<DequeuedJob, 'payload'>;

/** Jobs that were dequeued, in order. Those of a run stay in it until somebody asks for the payload of one of them. */
export class JobList {
	/** Each of them one job, or a run. */
	readonly parts: readonly (DequeuedJob | DequeuedRun)[];
	readonly length: number;
	#all: readonly DequeuedJob[] | undefined;

	constructor(parts: readonly (DequeuedJob | DequeuedRun)[]) {
		this.parts = parts;
		this.length = parts.reduce((sum, part) => sum + lengthOf(part), 0);
	}

	get all(): readonly DequeuedJob[] {
		this.#all ??= expandDequeued(this.parts);
		return this.#all;
	}

	/** The run that is all there is of it, if it is one. */
	get run(): DequeuedRun | undefined {
		const [part] = this.parts;
		return this.parts.length === 1 && part && isDequeuedRun(part) ? part : undefined;
	}

	at(index: number): KnownJob | undefined {
		const {run} = this;
		if (!run) return this.all[index];
		const {first, task, createdAt, policy} = run;
		return index >= 0 && index < this.length ? {id: first + index, task, createdAt, execution: 1, attempts: 0, policy} : undefined;
	}

	/** -1 if it is not among them. */
	indexOf(id: JobId): number {
		const {run} = this;
		if (!run) return this.all.findIndex(job => job.id === id);
		return id >= run.first && id < run.first + this.length ? id - run.first : -1;
	}

	/** The jobs from `start` on, at most so many; fewer where these begin with part of a run that is not very short, since it is best left alone. */
	take(start: number, most: number): JobList {
		const taken: (DequeuedJob | DequeuedRun)[] = [];
		// Without runs it need not count.
		const skipped = this.length === this.parts.length ? start : 0;
		let [offset, room] = [start - skipped, most];
		for (let index = skipped; index < this.parts.length; index++) {
			const part = this.parts[index] as DequeuedJob | DequeuedRun;
			const length = lengthOf(part);
			if (offset >= length) offset -= length;
			else {
				const count = Math.min(room, length - offset);
				taken.push(isDequeuedRun(part) ? cut(part, offset, count) : part);
				[offset, room] = [0, room - count];
				if (room === 0 || (taken.length === 1 && count > 1 && count >= most * WORTHWHILE)) break;
			}
		}
		return new JobList(taken);
	}

	/** From this index on, so many jobs in their first execution that have consecutive ids and were made together: the first one's; else nothing. */
	alike(start: number, count: number): KnownJob | undefined {
		const head = this.at(start);
		if (!head || start + count > this.length) return undefined;
		if (this.run) return head;
		const areAlike = this.all
			.slice(start, start + count)
			.every(({id, execution, createdAt}, index) => id === head.id + index && execution === 1 && createdAt === head.createdAt);
		return areAlike ? head : undefined;
	}
}

function lengthOf(part: DequeuedJob | DequeuedRun): number {
	return isDequeuedRun(part) ? part.payloads.count : 1;
}

function cut(run: DequeuedRun, start: number, count: number): DequeuedRun {
	return {...run, first: run.first + start, payloads: slicePacked(run.payloads, start, start + count)};
}

import type {Encoded} from '../../job/encoding.ts';
import type {JobId} from '../../job/job.ts';
import {type PackedStrings, slicePacked, toPackedStrings} from '../../job/packed-strings.ts';
import {MAX_RUN_JOBS} from '../../job/runs.ts';
import type {Tx} from './tx.ts';

/** One job by itself is no run. */
const LEAST = 2;

/** What the jobs of a run have in common. */
export interface Kind {
	readonly task: number;
	readonly policy: number;
	readonly priority: number;
	readonly batch: number | null;
	/** They have rows in `job`. */
	readonly isLoose: boolean;
}

interface NewRun extends Kind {
	readonly first: JobId;
	readonly payloads: Encoded[];
}

/** Makes new jobs ready, which come in order of their ids: in runs where many in a row are alike, else by ranges of rows, read back from `job`. */
export class RunBuilder {
	readonly #session: Tx;
	#run: NewRun | undefined;
	/** Of jobs in too short runs. */
	#range: {readonly first: JobId; last: JobId} | undefined;

	constructor(tx: Tx) {
		this.#session = tx;
	}

	/** The payload of a job that has a row already is of no interest. */
	add(id: JobId, kind: Kind, payload: Encoded): void {
		if (!this.#run || !continues(this.#run, id, kind)) {
			this.#endRun();
			this.#run = {...kind, first: id, payloads: []};
		}
		this.#run.payloads.push(payload);
	}

	/** Jobs that have no rows yet. */
	addRun(first: JobId, kind: Kind, payloads: PackedStrings): void {
		this.flush();
		for (let start = 0; start < payloads.count; start += MAX_RUN_JOBS) {
			const part = slicePacked(payloads, start, Math.min(payloads.count, start + MAX_RUN_JOBS));
			this.#insertRun(first + start, kind, part);
		}
	}

	flush(): void {
		this.#endRun();
		this.#endRange();
	}

	#endRun(): void {
		const run = this.#run;
		this.#run = undefined;
		if (!run) return;
		const {statements, now} = this.#session;
		const {task, policy, priority, batch, isLoose, first, payloads} = run;
		const last = first + payloads.length - 1;
		if (payloads.length >= LEAST) {
			this.#insertRun(first, run, toPackedStrings(payloads));
			return;
		}
		if (!isLoose) statements.insertJob.run(first, task, policy, priority, now, batch, null, payloads[0] as Encoded);
		if (this.#range?.last === first - 1) this.#range.last = last;
		else {
			this.#endRange();
			this.#range = {first, last};
		}
	}

	#insertRun(first: JobId, {task, policy, priority, batch, isLoose}: Kind, {count, text}: PackedStrings): void {
		const {statements, now} = this.#session;
		const last = first + count - 1;
		if (!isLoose) statements.insertJobRun.run(first, last, task, policy, priority, now, text);
		statements.insertReadyRun.run(task, -priority, first, last, batch);
	}

	#endRange(): void {
		if (this.#range) this.#session.statements.insertReadyRange.run(this.#range.first, this.#range.last);
		this.#range = undefined;
	}
}

function continues(run: NewRun, id: JobId, {task, policy, priority, batch, isLoose}: Kind): boolean {
	const isNext = id === run.first + run.payloads.length && run.payloads.length < MAX_RUN_JOBS;
	return isNext && run.task === task && run.policy === policy && run.priority === priority && run.batch === batch && run.isLoose === isLoose;
}

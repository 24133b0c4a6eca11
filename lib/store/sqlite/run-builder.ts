import type {Encoded} from '../../job/encoding.ts';
import type {JobId} from '../../job/job.ts';
import {type PackedStrings, slicePacked, toPackedStrings} from '../../job/packed-strings.ts';
import {MAX_RUN_JOBS} from './packed-rows.ts';
import type {Tx} from './tx.ts';

const MIN_RUN_JOBS = 2;

/** The properties that the jobs of a run share. */
export interface RunKey {
	readonly task: number;
	readonly policy: number;
	readonly priority: number;
	readonly batch: number | null;
	/** True if the jobs have rows in `job`. */
	readonly hasOwnRows: boolean;
}

interface OpenRun extends RunKey {
	readonly first: JobId;
	readonly payloads: Encoded[];
}

/**
 * Makes new jobs ready. They are added in order of their ids. Neighbours with the same {@link RunKey} become a run; the other jobs get rows in `ready`,
 * which are copied from `job`.
 */
export class RunBuilder {
	readonly #tx: Tx;
	#run: OpenRun | undefined;
	/** Jobs that are no run, and have no rows in `ready` yet. */
	#range: {readonly first: JobId; last: JobId} | undefined;

	constructor(tx: Tx) {
		this.#tx = tx;
	}

	/** Adds a job. The payload is used only if the job has no row in `job`. */
	add(id: JobId, key: RunKey, payload: Encoded): void {
		if (!this.#run || !continues(this.#run, id, key)) {
			this.#endRun();
			this.#run = {...key, first: id, payloads: []};
		}
		this.#run.payloads.push(payload);
	}

	/** Adds jobs that have no rows in `job`. */
	addRun(first: JobId, key: RunKey, payloads: PackedStrings): void {
		if (payloads.count < MIN_RUN_JOBS) {
			if (payloads.count === 1) this.add(first, key, payloads.text || null);
			return;
		}
		this.flush();
		for (let start = 0; start < payloads.count; start += MAX_RUN_JOBS) {
			const part = slicePacked(payloads, start, Math.min(payloads.count, start + MAX_RUN_JOBS));
			this.#insertRun(first + start, key, part);
		}
	}

	/** Writes all jobs that were added. */
	flush(): void {
		this.#endRun();
		this.#endRange();
	}

	#endRun(): void {
		const run = this.#run;
		this.#run = undefined;
		if (!run) return;
		const {statements, now} = this.#tx;
		const {task, policy, priority, batch, hasOwnRows, first, payloads} = run;
		const last = first + payloads.length - 1;
		if (payloads.length >= MIN_RUN_JOBS) {
			this.#insertRun(first, run, toPackedStrings(payloads));
			return;
		}
		if (!hasOwnRows) statements.insertJob.run(first, task, policy, priority, now, batch, null, payloads[0] as Encoded);
		if (this.#range?.last === first - 1) this.#range.last = last;
		else {
			this.#endRange();
			this.#range = {first, last};
		}
	}

	#insertRun(first: JobId, {task, policy, priority, batch, hasOwnRows}: RunKey, {count, text}: PackedStrings): void {
		const {statements, now} = this.#tx;
		const last = first + count - 1;
		if (!hasOwnRows) statements.insertJobRun.run(first, last, task, policy, priority, now, text);
		statements.insertReadyRun.run(task, -priority, first, last, batch);
	}

	#endRange(): void {
		if (this.#range) this.#tx.statements.insertReadyRange.run(this.#range.first, this.#range.last);
		this.#range = undefined;
	}
}

function continues(run: OpenRun, id: JobId, {task, policy, priority, batch, hasOwnRows}: RunKey): boolean {
	const isNext = id === run.first + run.payloads.length && run.payloads.length < MAX_RUN_JOBS;
	return isNext && run.task === task && run.policy === policy && run.priority === priority && run.batch === batch && run.hasOwnRows === hasOwnRows;
}

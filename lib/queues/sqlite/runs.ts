import type {JobId} from '../../job.ts';
import type {Statements} from './database.ts';
import {type OutcomeRunRow, readResults} from './outcome-run.ts';
import {Place} from './places.ts';
import type {Session} from './session.ts';

/** One job by itself is no run. */
const LEAST = 2;
/** Jobs in a run: what giving them rows of their own may cost at a time. */
const MOST = 1000;

/** New jobs of the same task, priority and batch. */
interface NewRun {
	readonly task: number;
	readonly rank: number;
	readonly batch: number | null;
	readonly first: JobId;
	last: JobId;
}

/** Makes new jobs ready, which come in order of their ids: in runs where many in a row are alike, else by ranges of rows, read back from `job`. */
export class Newcomers {
	readonly #statements: Statements;
	#run: NewRun | undefined;
	/** Of jobs in too short runs. */
	#range: {readonly first: JobId; last: JobId} | undefined;

	constructor(statements: Statements) {
		this.#statements = statements;
	}

	add(id: JobId, task: number, rank: number, batch: number | null): void {
		const run = this.#run;
		if (run && run.last === id - 1 && run.task === task && run.rank === rank && run.batch === batch && id - run.first < MOST) run.last = id;
		else {
			this.#endRun();
			this.#run = {task, rank, batch, first: id, last: id};
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
		const {task, rank, first, last, batch} = run;
		if (last - first + 1 >= LEAST) this.#statements.insertReadyRun.run(task, rank, first, last, batch);
		else if (this.#range?.last === first - 1) this.#range.last = last;
		else {
			this.#endRange();
			this.#range = {first, last};
		}
	}

	#endRange(): void {
		if (this.#range) this.#statements.insertReadyRange.run(this.#range.first, this.#range.last);
		this.#range = undefined;
	}
}

/** A row of the statements `claimedRun…`. */
export type ClaimedRun = readonly [first: JobId, last: JobId, lease: number, owner: number, task: number, batch: number | null];

/** The run that has this job, if it is claimed in one. */
export function claimedRunOf({claimedRunOf}: Statements, id: JobId): ClaimedRun | undefined {
	return claimedRunOf.get(id, id) as ClaimedRun | undefined;
}

/** The run that has this job, if it completed in one. */
export function outcomeRunOf({outcomeRunOf}: Statements, id: JobId): OutcomeRunRow | undefined {
	return outcomeRunOf.get(id, id) as OutcomeRunRow | undefined;
}

/** Gives each job of the run that has this one a row of its own where it is. False if it is in none. */
export function loosen(session: Session, id: JobId): boolean {
	return loosenReady(session, id) || loosenClaimed(session, id) || loosenOutcome(session, id);
}

function loosenReady({statements}: Session, id: JobId): boolean {
	const run = statements.readyRunOf.get(id) as [task: number, rank: number, first: JobId, last: JobId] | undefined;
	if (!run) return false;
	const [task, rank, first, last] = run;
	statements.deleteReadyRun.run(task, rank, first);
	statements.insertReadyRange.run(first, last);
	return true;
}

export function loosenClaimed({statements}: Session, id: JobId): boolean {
	const run = claimedRunOf(statements, id);
	if (!run) return false;
	const [first, last, lease, owner] = run;
	statements.deleteClaimedRun.run(first);
	statements.claimRange.run(lease, owner, first, last);
	return true;
}

export function loosenOutcome({statements}: Session, id: JobId): boolean {
	const run = outcomeRunOf(statements, id);
	if (!run) return false;
	statements.deleteOutcomeRun.run(run[0]);
	for (const {id, startedAt, endedAt, durationMs, cpuMs, value} of readResults(run))
		statements.insertOutcome.run(id, Place.completed, 1, startedAt, endedAt, durationMs, cpuMs, null, value, null);
	return true;
}

import {type Encoded, sizeBytes} from '../../encoding.ts';
import type {JobId} from '../../job.ts';
import type {Demand, Dequeued, DequeuedJob} from '../../queue.ts';
import {Place} from './places.ts';
import type {Session} from './session.ts';
import {attemptsOf} from './settle.ts';

/** Due jobs made ready in one transaction; the next one takes more. */
const PROMOTED_PER_TURN = 5000;

/** Makes ready what has come due. */
export function promote({statements, tally, now}: Session): void {
	const due = statements.dueJobs.all(now, PROMOTED_PER_TURN) as [
		id: number,
		task: number,
		batch: number | null,
		rank: number,
		failed: number,
		executions: number,
	][];
	for (const [id, task, batch, rank, failed, executions] of due) {
		statements.deleteWaiting.run(id);
		statements.insertReady.run(task, rank, id, executions, batch);
		tally.move(task, batch, failed === 1 ? Place.failed : Place.scheduled, Place.ready);
	}
}

/** Claims the first jobs of the demanded tasks: by priority, then in order of arrival, across them all. */
export function dequeue(session: Session, demand: Demand, owner: number): Dequeued {
	const tasks = openTasks(session, demand);
	const shares = tasks.length === 1 ? tasks : share(session, tasks, demand);
	const rows: [...ReadyRow, task: OpenTask][] = [];
	let lease = 0;
	for (const task of shares) {
		const heads = read(session, task, demand.maxBytes);
		if (heads.length === 0) continue;
		lease ||= nextLease(session);
		claim(session, task, heads, lease, owner);
		for (const head of heads) rows.push([...head, task]);
	}
	if (shares.length > 1) rows.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
	return {lease, jobs: rows.map(row => toDequeued(session, row))};
}

interface OpenTask {
	readonly name: string;
	readonly number: number;
	readonly limit: number;
}

type ReadyRow = [rank: number, id: number, executions: number, batch: number | null, policy: number, key: string | null, payload: Encoded];

function openTasks({names}: Session, {tasks, limit}: Demand): OpenTask[] {
	return tasks.flatMap(({task: name, limit: own}) => {
		const number = names.knownTask(name);
		return number === undefined || names.isPaused(name) ? [] : [{name, number, limit: Math.min(own, limit)}];
	});
}

/** How many jobs of each task are among the first of them all. Looks at ranks, ids and sizes only. */
function share({statements}: Session, tasks: readonly OpenTask[], {limit, maxBytes}: Demand): OpenTask[] {
	const heads = tasks.flatMap((task, index) =>
		(statements.readyHeads.all(task.number, task.limit) as [number, number, number | null][]).map(head => [...head, index] as const),
	);
	heads.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
	const limits = tasks.map(() => 0);
	let bytes = 0;
	for (const [, , size, index] of heads.slice(0, limit)) {
		(limits[index] as number)++;
		bytes += size ?? 0;
		if (bytes >= maxBytes) break;
	}
	return tasks.map((task, index) => ({...task, limit: limits[index] as number})).filter(task => task.limit > 0);
}

function read({statements}: Session, {number, limit}: OpenTask, maxBytes: number): ReadyRow[] {
	const rows: ReadyRow[] = [];
	let bytes = 0;
	for (const row of statements.readyJobs.iterate(number, limit) as IterableIterator<ReadyRow>) {
		rows.push(row);
		bytes += sizeBytes(row[6]);
		if (bytes >= maxBytes) break;
	}
	return rows;
}

/** What was read is the beginning of the task's part of `ready`: two statements move it, however many jobs it is. */
function claim({statements, tally}: Session, {number}: OpenTask, heads: readonly ReadyRow[], lease: number, owner: number): void {
	const [rank, id] = heads.at(-1) as ReadyRow;
	statements.claimUpTo.run(lease, owner, number, rank, id);
	statements.deleteReadyUpTo.run(number, rank, id);
	// Jobs of a batch come in runs, so that this, too, is a step for many.
	for (let start = 0, end = 1; start < heads.length; end++) {
		const batch = heads[start]?.[3] as number | null;
		if (heads[end]?.[3] === batch) continue;
		tally.move(number, batch, Place.ready, Place.running, end - start);
		start = end;
	}
}

function nextLease({statements}: Session): number {
	const lease = (statements.counter.get('lease') as number) + 1;
	statements.setCounter.run(lease, 'lease');
	return lease;
}

function toDequeued(session: Session, [, id, executions, , policy, key, payload, {name}]: [...ReadyRow, OpenTask]): DequeuedJob {
	const job = {id, task: name, payload, execution: executions + 1, attempts: 0, policy: session.names.policy(policy), ...(key !== null && {key})};
	return executions > 0 ? {...job, ...history(session, id)} : job;
}

/** What is left of a job's earlier executions; their progress is not. */
function history(session: Session, id: JobId): Pick<DequeuedJob, 'attempts' | 'checkpoint'> {
	const {deleteProgress, checkpointState} = session.statements;
	deleteProgress.run(id);
	const checkpoint = checkpointState.get(id) as Encoded | undefined;
	return {attempts: attemptsOf(session, id), ...(checkpoint !== undefined && {checkpoint})};
}

/** Jobs of the demanded tasks that are still ready, by the tally as this transaction leaves it. */
export function backlog(session: Session, demand: Demand, tally: (task: number, place: Place) => number): number {
	return openTasks(session, demand).reduce((sum, {number}) => sum + tally(number, Place.ready), 0);
}

import type {Lease} from '../../../job/claim.ts';
import {type Encoded, sizeBytes} from '../../../job/encoding.ts';
import {type ClaimedGroup, type NewGroup, sizeOf} from '../../../job/groups/group.ts';
import {isList, type PackedStrings, type Values} from '../../../job/groups/packed.ts';
import type {JobId} from '../../../job/job.ts';
import {dueAtOf} from '../../../job/new-job.ts';
import {failpoint} from '../../../support/failpoint.ts';
import type {ClaimRequest} from '../../store.ts';
import {StoredState} from '../../stored-state.ts';
import {mayExpire} from '../rows/expiry.ts';
import {type Lane, readyIn, roomOf} from '../rows/lanes.ts';
import {nextLease, type Tx} from '../rows/tx.ts';

/** New jobs with consecutive ids that share these properties. */
export interface NewRun {
	readonly task: number;
	readonly policy: number;
	readonly priority: number;
	readonly batch: number | null;
	readonly first: JobId;
	readonly count: number;
	readonly values: Values;
	readonly keys: number | PackedStrings | ReadonlyMap<number, string> | undefined;
}

/**
 * Claims jobs in the transaction that enqueues them, so that rows of ready jobs need not be written and deleted. It is possible if the request can take
 * all new jobs of its tasks, and there are no others.
 */
export class DirectClaim {
	readonly groups: ClaimedGroup[] = [];
	/** 0 if no job was claimed. */
	lease: Lease = 0;
	readonly #tx: Tx;
	readonly #owner: number;
	/** The requested lanes, by the numbers of their tasks. */
	readonly #lanes: ReadonlyMap<number, Lane>;
	/** The number of claimed jobs, by task. */
	readonly #claimed = new Map<string, number>();

	constructor(tx: Tx, lanes: readonly Lane[], owner: number) {
		this.#tx = tx;
		this.#owner = owner;
		this.#lanes = new Map(lanes.map(lane => [lane.task, lane]));
	}

	/** The number of jobs that it has claimed, of a task or of all: while jobs are enqueued, they are not yet running for a limit. */
	claimedOf(task?: string): number {
		return task === undefined ? [...this.#claimed.values()].reduce((sum, jobs) => sum + jobs, 0) : (this.#claimed.get(task) ?? 0);
	}

	/** Writes that the jobs are running. Returns false, and writes nothing, if their task is not requested. */
	take({task, policy, priority, batch, first, count, values, keys}: NewRun): boolean {
		const lane = this.#lanes.get(task);
		if (!lane) return false;
		const {name, scope} = lane;
		this.#claimed.set(name, (this.#claimed.get(name) ?? 0) + count);
		const {statements, tally, numbers, now} = this.#tx;
		this.lease ||= nextLease(this.#tx);
		if (count > 1) statements.insertClaimedRun.run(first, first + count - 1, this.lease, this.#owner, task, batch);
		else statements.insertClaim.run(first, this.lease, this.#owner, task, batch);
		failpoint('dequeue:written');
		tally.move(task, batch, StoredState.ready, StoredState.running, count);
		const columns = {ids: first, executions: 1, createdAt: now, priorities: priority, policies: numbers.policy(policy)};
		this.groups.push({task: name, scopes: scope, lease: this.lease, ...columns, values, keys});
		return true;
	}
}

/** True if the request can take all of these groups' jobs of its tasks at once, and no other job is ready, due or expired. */
export function canClaimDirectly(tx: Tx, request: ClaimRequest, lanes: readonly Lane[], groups: readonly NewGroup[]): boolean {
	const {facts, now} = tx;
	if (groups.length === 0) return false;
	// Groups may name held jobs, which are ready then.
	const isQuiet = !mayExpire(tx) && (facts.get('nextRunAt') ?? Infinity) > now && lanes.every(lane => readyIn(tx, lane) === 0) && !facts.get('hasHeld');
	// A new round of an existing job is not a new job.
	if (!isQuiet || groups.some(({rerun, expiresMs, parents}) => rerun || parents || expiresMs !== undefined)) return false;
	const requested = new Set(request.lanes.map(({task}) => task));
	const isOwn = ({task, scope}: NewGroup) => requested.has(task) && (scope === undefined || request.scopes?.includes(scope));
	const own = groups.filter(group => isOwn(group) && dueAtOf(group, now) === null);
	return own.length > 0 && fits(tx, request, lanes, own);
}

function fits(tx: Tx, {limit, maxBytes}: ClaimRequest, lanes: readonly Lane[], groups: readonly NewGroup[]): boolean {
	const ready = lanes.filter(({state}) => state === StoredState.ready);
	const left = new Map(ready.map(lane => [lane.name, Math.min(lane.limit, roomOf(tx, lane))]));
	let [jobs, bytes] = [0, 0];
	for (const group of groups) {
		// A task that is requested and has no lane is new, or paused; or its scope is new.
		if (!ready.some(({name, scope}) => name === group.task && scope === group.scope)) return false;
		const room = (left.get(group.task) as number) - sizeOf(group);
		left.set(group.task, room);
		jobs += sizeOf(group);
		bytes += bytesOf(group.values);
		if (room < 0 || jobs > limit || bytes >= maxBytes) return false;
	}
	return true;
}

function bytesOf(values: Values): number {
	return isList(values) ? values.reduce((sum, value) => sum + sizeBytes(value as Encoded), 0) : sizeBytes(values.text);
}

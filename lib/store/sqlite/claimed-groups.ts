import type {Encoded} from '../../job/encoding.ts';
import {type ClaimedGroup, toColumn, toIds} from '../../job/group.ts';
import {type JobId, MAX_SUSPICION} from '../../job/job.ts';
import {pack} from '../../job/packed-strings.ts';
import {type Head, isPacked, type PackedHead, type ReadyRow} from './heads.ts';
import type {Lane} from './lanes.ts';
import {failureStateOf} from './ready.ts';
import {StoredState} from './tally.ts';
import type {Tx} from './tx.ts';

/** A group with its first job. */
interface OrderedGroup {
	readonly first: Head;
	readonly group: ClaimedGroup;
}

/** The claimed jobs of a lane as groups: one for each run, and one for each policy of the rows between two runs. */
export function toGroups(tx: Tx, lease: number, lane: Lane, heads: readonly Head[]): OrderedGroup[] {
	const groups: OrderedGroup[] = [];
	let rows = new Map<number, ReadyRow[]>();
	const endRows = () => {
		for (const own of rows.values()) groups.push({first: own[0] as ReadyRow, group: groupOfRows(tx, lease, lane, own)});
		rows = new Map();
	};
	for (const head of heads) {
		if (isPacked(head)) {
			endRows();
			groups.push({first: head, group: groupOfRun(tx, lease, lane, head)});
		} else {
			const own = rows.get(head[4]);
			if (own) own.push(head);
			else rows.set(head[4], [head]);
		}
	}
	endRows();
	return groups;
}

function groupOfRun({names}: Tx, lease: number, {name}: Lane, [rank, first, {policy, createdAt, payloads}]: PackedHead): ClaimedGroup {
	return {task: name, lease, policy: names.policy(policy), ids: first, executions: 1, createdAt, priorities: -rank, values: payloads};
}

/** @param rows jobs with the same policy */
function groupOfRows(tx: Tx, lease: number, {name, state}: Lane, rows: readonly ReadyRow[]): ClaimedGroup {
	const histories = new Map<number, History>();
	const keys = new Map<number, string>();
	for (const [index, [, id, executions, , , , key]] of rows.entries()) {
		if (executions > 0) histories.set(index, historyOf(tx, id));
		if (key !== null) keys.set(index, key);
	}
	const isAlone = [...histories.values()].some(history => history.isAlone);
	return {
		task: name,
		lease,
		policy: tx.names.policy((rows[0] as ReadyRow)[4]),
		quarantine: state !== StoredState.quarantined ? undefined : isAlone ? 'alone' : 'together',
		ids: toIds(rows.map(([, id]) => id)),
		executions: toColumn(rows.map(([, , executions]) => executions + 1)),
		createdAt: toColumn(rows.map(([, , , , , createdAt]) => createdAt)),
		priorities: toColumn(rows.map(([rank]) => -rank)),
		values: pack(rows.map(([, , , , , , , payload]) => payload)),
		attempts: sparse(histories, ({attempts}) => attempts || undefined),
		keys: keys.size > 0 ? keys : undefined,
		checkpoints: sparse(histories, ({checkpoint}) => checkpoint),
	};
}

/** One value of the histories by index, where it is not `undefined`. */
function sparse<Value>(histories: ReadonlyMap<number, History>, of: (history: History) => Value | undefined): ReadonlyMap<number, Value> | undefined {
	const found = [...histories].flatMap(([index, history]) => {
		const value = of(history);
		return value === undefined ? [] : [[index, value] as const];
	});
	return found.length > 0 ? new Map(found) : undefined;
}

interface History {
	readonly attempts: number;
	readonly isAlone: boolean;
	readonly checkpoint: Encoded | undefined;
}

/** The attempts, suspicion and checkpoint of a job that was executed before. Deletes its progress. */
function historyOf(tx: Tx, id: JobId): History {
	const {deleteProgress, checkpointState} = tx.statements;
	deleteProgress.run(id);
	const {attempts, suspicion} = failureStateOf(tx, id);
	return {attempts, isAlone: suspicion === MAX_SUSPICION, checkpoint: checkpointState.get(id) as Encoded | undefined};
}

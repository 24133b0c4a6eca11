import {type ExecutionRecord, MAX_EXECUTIONS} from '../../../job/claim.ts';
import type {JobId} from '../../../job/job.ts';
import {defined} from '../../../support/defined.ts';
import {readFailure} from '../../stored-json.ts';
import {StoredState} from '../../stored-state.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {resultInRun} from './outcome-runs.ts';

/** Keeps the job's last failure. Call it before another execution, or a new round, takes its place. */
export function keepFailure({keepFailure, trimExecutions}: Statements, id: JobId): void {
	if (keepFailure.run(id).changes > 0) trimExecutions.run({id});
}

/** Keeps how the last execution ended. Call it before a new round begins. The rows of its last failure and of its outcome still exist. */
export function keepLastExecution(statements: Statements, id: JobId): void {
	keepFailure(statements, id);
	if (statements.keepOutcome.run(id).changes > 0) statements.trimExecutions.run({id});
}

/** A row of the statement `executionsOfJob`. */
type ExecutionRow = readonly [
	source: number,
	execution: number,
	state: StoredState,
	endedAt: number,
	startedAt: number | null,
	durationMs: number | null,
	cpuMs: number | null,
	memoryBytes: number | null,
	worker: string | null,
	failure: string | null,
];

/** The executions of a job that have ended, in order. */
export function readHistory(statements: Statements, id: JobId): ExecutionRecord[] {
	const records = new Map<number, ExecutionRecord>();
	for (const row of statements.executionsOfJob.all({id}) as ExecutionRow[]) {
		const [, execution, state, endedAt, startedAt, durationMs, cpuMs, memoryBytes, worker, failure] = row;
		// The last one may be kept already.
		if (records.has(execution)) continue;
		const error = failure === null ? undefined : readFailure(failure);
		records.set(execution, {
			execution,
			status: statusOf(state, error?.reason),
			endedAt,
			...defined({startedAt, durationMs, cpuMs, memoryBytes, worker, error}),
		});
	}
	const inRun = records.size === 0 ? resultInRun(statements, id) : undefined;
	if (inRun) {
		const {value: _, endedAt, ...known} = inRun;
		return [{execution: 1, status: 'completed', endedAt, ...defined(known)}];
	}
	const all = [...records.values()];
	return all.length <= MAX_EXECUTIONS ? all : [...all.slice(0, MAX_EXECUTIONS / 2), ...all.slice(-MAX_EXECUTIONS / 2)];
}

function statusOf(state: StoredState, reason: string | undefined): ExecutionRecord['status'] {
	if (reason === 'cancelled' || reason === 'expired' || reason === 'parent' || state === StoredState.cancelled) return 'cancelled';
	return state === StoredState.completed ? 'completed' : 'failed';
}

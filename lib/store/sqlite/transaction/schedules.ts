import {idAt, type NewGroup} from '../../../job/groups/group.ts';
import {pack} from '../../../job/groups/packed.ts';
import type {JobId} from '../../../job/job.ts';
import type {Parents} from '../../../job/parents.ts';
import {decideSchedule, type Schedule, type ScheduleChange, type ScheduleResult, type ScheduleSpec, waitsForEnd} from '../../../job/schedule.ts';
import {failpoint} from '../../../support/failpoint.ts';
import {readScheduleSpec} from '../../stored-json.ts';
import {hasEnded} from '../../stored-state.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {findJob} from '../rows/packed-rows.ts';
import {setMoment} from '../rows/scheduled-jobs.ts';
import type {Tx} from '../rows/tx.ts';
import {enqueue} from './enqueue.ts';

export function changeSchedule(tx: Tx, change: ScheduleChange): ScheduleResult {
	const {statements, facts, now, random} = tx;
	facts.forget('nextMoment');
	facts.forget('hasEndWaits');
	const {name} = change;
	const schedule = scheduleNamed(statements, name);
	const decision = decideSchedule(schedule, change, schedule !== undefined && hasUnendedJob(tx, schedule), now, random);
	if (!decision) return {isDone: false, jobIds: []};
	if (decision.type === 'delete') statements.deleteSchedule.run(name);
	if (decision.type === 'set') {
		const {payload, ...rest} = decision.spec;
		statements.setSchedule.run(name, JSON.stringify(rest), payload, now, decision.nextAt, waitsForEnd(rest) ? 1 : 0);
	}
	if (decision.type !== 'write' || !schedule) return {isDone: true, jobIds: []};
	const {isPaused, nextAt, lastAt, skipped, missed, runs} = decision;
	const jobIds: JobId[] = [];
	const before = () => jobIds.at(-1) ?? (runs.wait ? schedule.lastJobId : null);
	for (const {moment, runAt} of runs.moments) jobIds.push(enqueueRun(tx, schedule.spec, moment, runAt, before()));
	statements.writeSchedule.run(isPaused ? 1 : 0, nextAt, jobIds.at(-1) ?? schedule.lastJobId, lastAt, jobIds.length, skipped, missed, name);
	if (jobIds.length > 0) failpoint('schedule:written');
	return {isDone: true, jobIds};
}

function hasUnendedJob(tx: Tx, {lastJobId}: Schedule): boolean {
	return lastJobId !== null && isUnended(tx, lastJobId);
}

function isUnended({statements}: Tx, id: JobId): boolean {
	const job = findJob(statements, id);
	return job !== undefined && !hasEnded(job.state);
}

/** @param before the job waits for this one */
function enqueueRun(
	tx: Tx,
	{task, scope, payload, priority, policy, expiresMs}: ScheduleSpec,
	moment: number,
	runAt: number | null,
	before: JobId | null,
): JobId {
	const parents: Parents | undefined = before === null ? undefined : {edges: [{kind: 'all', parents: {ids: before, count: 1}}], onParentDead: 'run'};
	const group: NewGroup = {task, scope, priority, policy, runAt, values: pack([payload]), ...(expiresMs !== null && {expiresMs}), ...(parents && {parents})};
	const [enqueued = {ids: []}] = enqueue(tx, [group], false);
	const id = idAt(enqueued.ids, 0);
	setMoment(tx, id, moment);
	return id;
}

/** Sets the next moments of schedules whose interval counts from the end of a job, if that has ended. Call it at the end of each transaction. */
export function updateSchedules(tx: Tx): void {
	const {statements, facts, now} = tx;
	if (!facts.get('hasEndWaits')) return;
	for (const schedule of (statements.schedulesThatWait.all() as ScheduleRow[]).flatMap(row => toSchedule(row) ?? [])) {
		const {timing, until} = schedule.spec;
		if (!('from' in timing) || hasUnendedJob(tx, schedule)) continue;
		const next = now + timing.everyMs;
		const isOver = until !== null && next > until;
		statements.setNextMoment.run(isOver ? null : next, isOver ? 0 : 1, schedule.name);
		facts.forget('nextMoment');
		facts.forget('hasEndWaits');
	}
}

/** Milliseconds until the next moment of a schedule, if there is one. */
export function momentInMs({facts, now}: Tx): {readonly momentInMs?: number} {
	const at = facts.get('nextMoment');
	return at === null ? {} : {momentInMs: Math.max(0, at - now)};
}

interface ScheduleRow extends Pick<Schedule, 'name' | 'createdAt' | 'nextAt' | 'lastJobId' | 'lastAt' | 'runs' | 'skipped' | 'missed'> {
	readonly spec: string;
	readonly payload: ScheduleSpec['payload'];
	readonly paused: number;
}

export function readSchedules(statements: Statements): Schedule[] {
	return (statements.schedules.all() as ScheduleRow[]).flatMap(row => toSchedule(row) ?? []);
}

function scheduleNamed(statements: Statements, name: string): Schedule | undefined {
	const row = statements.schedule.get(name) as ScheduleRow | undefined;
	return row && toSchedule(row);
}

/** `undefined` if another program has damaged it. */
function toSchedule({spec, payload, paused, ...row}: ScheduleRow): Schedule | undefined {
	const known = readScheduleSpec(spec);
	return known && {...row, isPaused: paused === 1, spec: {...known, payload}};
}

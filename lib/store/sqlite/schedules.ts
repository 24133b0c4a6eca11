import {idAt, type NewGroup} from '../../job/group.ts';
import type {JobId} from '../../job/job.ts';
import {pack} from '../../job/packed.ts';
import type {Parents} from '../../job/parents.ts';
import {isSameSchedule, type Schedule, type ScheduleChange, type ScheduleResult, type ScheduleSpec, waitsForEnd} from '../../job/schedule.ts';
import {failpoint} from '../../support/failpoint.ts';
import {readScheduleSpec} from '../stored-json.ts';
import {hasEnded} from '../stored-state.ts';
import {enqueue} from './enqueue.ts';
import {findJob} from './packed-rows.ts';
import {setMoment} from './scheduled-jobs.ts';
import type {Statements} from './statements.sql.ts';
import type {Tx} from './tx.ts';

const NOTHING: ScheduleResult = {isDone: false, jobIds: []};
const DONE: ScheduleResult = {isDone: true, jobIds: []};

export function changeSchedule(tx: Tx, change: ScheduleChange): ScheduleResult {
	const {statements, known} = tx;
	known.forget('nextMoment');
	known.forget('hasEndWaits');
	const schedule = scheduleNamed(statements, change.name);
	if (change.type === 'set') return setSchedule(tx, schedule, change);
	if (!schedule) return NOTHING;
	switch (change.type) {
		case 'delete':
			statements.deleteSchedule.run(change.name);
			return DONE;
		case 'pause':
			statements.pauseSchedule.run(1, schedule.nextAt, change.name);
			return DONE;
		case 'resume':
			statements.pauseSchedule.run(0, change.nextAt, change.name);
			return DONE;
		case 'run':
			return {isDone: true, jobIds: runNow(tx, schedule)};
		case 'advance':
			if (schedule.isPaused || schedule.nextAt !== change.at) return NOTHING;
			return {isDone: true, jobIds: advance(tx, schedule, change)};
	}
}

function setSchedule({statements, now}: Tx, old: Schedule | undefined, {name, spec, nextAt, lastAt}: ScheduleChange & {type: 'set'}): ScheduleResult {
	if (old && (old.lastAt !== lastAt || isSameSchedule(old.spec, spec))) return NOTHING;
	const {payload, ...rest} = spec;
	statements.setSchedule.run(name, JSON.stringify(rest), payload, now, nextAt, waitsForEnd(spec) ? 1 : 0);
	return DONE;
}

/** Enqueues a job beside the moments, without a delay by chance. */
function runNow(tx: Tx, schedule: Schedule): readonly JobId[] {
	const {name, spec, lastJobId, lastAt, nextAt} = schedule;
	const isRunning = hasUnendedJob(tx, schedule);
	if (isRunning && spec.overlap === 'skip') return [];
	const id = enqueueRun(tx, spec, tx.now, {before: isRunning ? lastJobId : null});
	tx.statements.advanceSchedule.run(nextAt, id, lastAt, 1, 0, 0, name);
	failpoint('schedule:written');
	return [id];
}

/** Enqueues a job for each moment. With several, and with `overlap: 'queue'`, each waits for the one before. */
function advance(tx: Tx, schedule: Schedule, {moments, nextAt, missed}: ScheduleChange & {type: 'advance'}): readonly JobId[] {
	const {statements} = tx;
	const {name, spec, lastJobId, lastAt} = schedule;
	const isRunning = hasUnendedJob(tx, schedule);
	if (isRunning && spec.overlap === 'skip') {
		statements.advanceSchedule.run(nextAt, lastJobId, lastAt, 0, moments.length, missed, name);
		return [];
	}
	const jobIds: JobId[] = [];
	for (const moment of moments) jobIds.push(enqueueRun(tx, spec, moment, {before: jobIds.at(-1) ?? (isRunning ? lastJobId : null), jitterMs: spec.jitterMs}));
	statements.advanceSchedule.run(nextAt, jobIds.at(-1) ?? lastJobId, moments.at(-1) ?? lastAt, jobIds.length, 0, missed, name);
	failpoint('schedule:written');
	return jobIds;
}

function hasUnendedJob(tx: Tx, {lastJobId}: Schedule): boolean {
	return lastJobId !== null && isUnended(tx, lastJobId);
}

function isUnended({statements}: Tx, id: JobId): boolean {
	const job = findJob(statements, id);
	return job !== undefined && !hasEnded(job.state);
}

/** @param options.before the job waits for this one */
function enqueueRun(
	tx: Tx,
	{task, scope, payload, priority, policy, expiresMs}: ScheduleSpec,
	moment: number,
	{before, jitterMs = 0}: {readonly before: JobId | null; readonly jitterMs?: number},
): JobId {
	const parents: Parents | undefined = before === null ? undefined : {edges: [{kind: 'all', parents: {ids: before, count: 1}}], onDead: 'run'};
	const runAt = jitterMs > 0 ? moment + Math.floor(tx.random() * jitterMs) : null;
	const group: NewGroup = {task, scope, priority, policy, runAt, values: pack([payload]), ...(expiresMs !== null && {expiresMs}), ...(parents && {parents})};
	const [enqueued = {ids: []}] = enqueue(tx, [group], false);
	const id = idAt(enqueued.ids, 0);
	setMoment(tx, id, moment);
	return id;
}

/** Sets the next moments of schedules whose interval counts from the end of a job, if that has ended. Call it at the end of each transaction. */
export function updateSchedules(tx: Tx): void {
	const {statements, known, now} = tx;
	if (!known.get('hasEndWaits')) return;
	for (const schedule of (statements.schedulesThatWait.all() as ScheduleRow[]).flatMap(row => toSchedule(row) ?? [])) {
		const {timing, until} = schedule.spec;
		if (!('from' in timing) || hasUnendedJob(tx, schedule)) continue;
		const next = now + timing.everyMs;
		const isOver = until !== null && next > until;
		statements.setNextMoment.run(isOver ? null : next, isOver ? 0 : 1, schedule.name);
		known.forget('nextMoment');
		known.forget('hasEndWaits');
	}
}

/** Milliseconds until the next moment of a schedule, if there is one. */
export function momentInMs({known, now}: Tx): {readonly momentInMs?: number} {
	const at = known.get('nextMoment');
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

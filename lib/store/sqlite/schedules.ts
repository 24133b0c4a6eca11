import {idAt, type NewGroup} from '../../job/group.ts';
import type {JobId} from '../../job/job.ts';
import {pack} from '../../job/packed.ts';
import type {Parents} from '../../job/parents.ts';
import {isSameSchedule, type Schedule, type ScheduleChange, type ScheduleResult, type ScheduleSpec} from '../../job/schedule.ts';
import {failpoint} from '../../support/failpoint.ts';
import {readScheduleSpec} from '../stored-json.ts';
import {enqueue} from './enqueue.ts';
import {findJob} from './packed-rows.ts';
import {setMoment} from './scheduled-jobs.ts';
import {hasEnded} from './schema.sql.ts';
import type {Statements} from './statements.sql.ts';
import type {Tx} from './tx.ts';

const NOTHING: ScheduleResult = {isDone: false, jobIds: []};
const DONE: ScheduleResult = {isDone: true, jobIds: []};

export function changeSchedule(tx: Tx, change: ScheduleChange): ScheduleResult {
	const {statements, known, now} = tx;
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
			return run(tx, schedule, [now], schedule.nextAt, 0, schedule.spec.overlap);
		case 'advance':
			if (schedule.isPaused || schedule.nextAt !== change.at) return NOTHING;
			return run(tx, schedule, change.moments, change.nextAt, change.missed, schedule.spec.overlap);
	}
}

function setSchedule({statements, now}: Tx, old: Schedule | undefined, {name, spec, nextAt, lastAt}: ScheduleChange & {type: 'set'}): ScheduleResult {
	if (old && (old.lastAt !== lastAt || isSameSchedule(old.spec, spec))) return NOTHING;
	const {payload, ...rest} = spec;
	statements.setSchedule.run(name, JSON.stringify(rest), payload, now, nextAt, waitsForEnd(spec) ? 1 : 0);
	return DONE;
}

/** True if the interval counts from the end of the job before. */
function waitsForEnd({timing}: ScheduleSpec): boolean {
	return 'from' in timing && timing.from === 'end';
}

/** Enqueues a job for each moment. With several, and with `overlap: 'queue'`, each waits for the one before. */
function run(tx: Tx, schedule: Schedule, moments: readonly number[], nextAt: number | null, missed: number, overlap: ScheduleSpec['overlap']): ScheduleResult {
	const {statements} = tx;
	const {name, lastJobId} = schedule;
	const isRunning = lastJobId !== null && isUnended(tx, lastJobId);
	if (isRunning && overlap === 'skip') {
		statements.advanceSchedule.run(nextAt, lastJobId, schedule.lastAt, 0, moments.length, missed, name);
		return {isDone: true, jobIds: []};
	}
	const jobIds: JobId[] = [];
	let before = isRunning ? lastJobId : null;
	for (const moment of moments) {
		const id = enqueueRun(tx, schedule.spec, moment, before);
		jobIds.push(id);
		before = id;
	}
	statements.advanceSchedule.run(nextAt, jobIds.at(-1) ?? lastJobId, moments.at(-1) ?? schedule.lastAt, jobIds.length, 0, missed, name);
	failpoint('schedule:written');
	return {isDone: true, jobIds};
}

function isUnended({statements}: Tx, id: JobId): boolean {
	const job = findJob(statements, id);
	return job !== undefined && !hasEnded(job.state);
}

function enqueueRun(tx: Tx, {task, payload, priority, policy, expiresMs, jitterMs}: ScheduleSpec, moment: number, before: JobId | null): JobId {
	const parents: Parents | undefined = before === null ? undefined : {edges: [{kind: 'all', parents: {ids: before, count: 1}}], onDead: 'run'};
	const runAt = jitterMs > 0 ? moment + Math.floor(tx.random() * jitterMs) : null;
	const group: NewGroup = {task, priority, policy, runAt, values: pack([payload]), ...(expiresMs !== null && {expiresMs}), ...(parents && {parents})};
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
		if (!('from' in timing) || (schedule.lastJobId !== null && isUnended(tx, schedule.lastJobId))) continue;
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

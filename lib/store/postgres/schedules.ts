import type {JobId} from '../../job/job.ts';
import {decideSchedule, type Schedule, type ScheduleChange, type ScheduleDecision, type ScheduleSpec} from '../../job/schedule.ts';
import type {DecidedChange} from './connection/calls.ts';
import type {Database} from './connection/database.ts';

/** A row of the table `schedule`. */
interface ScheduleRow extends Pick<Schedule, 'name' | 'runs' | 'skipped' | 'missed'> {
	readonly id: number;
	readonly version: number;
	readonly spec: Omit<ScheduleSpec, 'payload'>;
	readonly text_value: string | null;
	readonly byte_value: Uint8Array | null;
	readonly created_at: number;
	readonly next_at: number | null;
	readonly paused: boolean;
	readonly last_job: JobId | null;
	readonly last_at: number | null;
}

/** All schedules, by name. */
export async function readSchedules(db: Database): Promise<Schedule[]> {
	return (await db.query<ScheduleRow>('select * from @.schedule order by name collate "C"')).map(toSchedule);
}

function toSchedule({name, spec, text_value, byte_value, runs, skipped, missed, ...row}: ScheduleRow): Schedule {
	return {
		...{name, spec: {...spec, payload: byte_value ?? text_value}, createdAt: row.created_at, nextAt: row.next_at, isPaused: row.paused},
		...{lastJobId: row.last_job, lastAt: row.last_at, runs, skipped, missed},
	};
}

interface Known {
	/** Known only of a schedule that the database has. */
	readonly id?: number | undefined;
	readonly version: number;
	readonly isRunning: boolean;
	readonly schedule?: Schedule | undefined;
}

/** Decides changes of schedules, in order, by what the database has. */
export async function decideChanges(db: Database, changes: readonly ScheduleChange[], random: () => number): Promise<DecidedChange[]> {
	const rows = await db.ask<ScheduleRow & {readonly running: boolean}>('select *, @@.is_unended(last_job) as running from @.schedule where name = any ($1)', [
		changes.map(({name}) => name),
	]);
	const known = new Map(rows.map(row => [row.name, {id: row.id, version: row.version, isRunning: row.running, schedule: toSchedule(row)} as Known]));
	return changes.map(change => {
		const {name} = change;
		const {id, version, isRunning, schedule} = known.get(name) ?? ({version: 0, isRunning: false} as Known);
		const decision = decideSchedule(schedule, change, isRunning, db.clock.now(), random);
		if (decision) known.set(name, after(decision, {id, version, isRunning, schedule}, name, db.clock.now()));
		return {name, id, version, isRunning, ...(decision ?? {type: 'none'})};
	});
}

/** What a schedule is after a change, as far as a next one is decided by it. */
function after(decision: ScheduleDecision, {id, version, isRunning, schedule}: Known, name: string, now: number): Known {
	if (decision.type === 'delete') return {version: 0, isRunning: false};
	const made = {name, createdAt: now, isPaused: false, lastJobId: null, lastAt: null, runs: 0, skipped: 0, missed: 0, nextAt: null, ...schedule};
	if (decision.type === 'set') return {id, version: version + 1, isRunning, schedule: {...made, ...decision}};
	const {isPaused, nextAt, lastAt, runs} = decision;
	return {id, version: version + 1, isRunning: isRunning || runs.moments.length > 0, schedule: {...(schedule as Schedule), isPaused, nextAt, lastAt}};
}

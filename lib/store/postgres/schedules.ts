import type {JobId} from '../../job/job.ts';
import type {Schedule, ScheduleSpec} from '../../job/schedule.ts';
import type {Database} from './database.ts';

/** A row of the table `schedule`. */
interface ScheduleRow extends Pick<Schedule, 'name' | 'runs' | 'skipped' | 'missed'> {
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
	const rows = await db.query<ScheduleRow>('select * from @.schedule order by name collate "C"');
	return rows.map(({name, spec, text_value, byte_value, runs, skipped, missed, ...row}) => ({
		name,
		spec: {...spec, payload: byte_value ?? text_value},
		createdAt: row.created_at,
		nextAt: row.next_at,
		isPaused: row.paused,
		lastJobId: row.last_job,
		lastAt: row.last_at,
		runs,
		skipped,
		missed,
	}));
}

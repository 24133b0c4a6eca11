import {isDeepStrictEqual} from 'node:util';
import type {Encoded} from './encoding.ts';
import type {JobId} from './job.ts';
import type {Policy} from './policy.ts';

/** What a schedule is to do. */
export interface ScheduleSpec {
	/** When its moments are. */
	readonly timing: /** At the times of a cron expression, in a time zone. */
		| {readonly cron: string; readonly timezone: string}
		/** At whole multiples of the interval since 1970; or so long after the end of the job before. */
		| {readonly everyMs: number; readonly from: 'clock' | 'end'};
	/** What to do about moments that passed while no engine ran: nothing; one job, for the last of them; or one for each of the last 1,000. */
	readonly catchUp: 'none' | 'one' | 'all';
	/** What to do at a moment when the job of an earlier one has not ended: nothing; or enqueue a job that waits for it. */
	readonly overlap: 'skip' | 'queue';
	/** A job starts up to this many milliseconds after its moment, by chance. */
	readonly jitterMs: number;
	/** There is no moment after this time, in milliseconds since 1970. */
	readonly until: number | null;
	/** A job that has not started so long after its moment is cancelled; `null` for never. */
	readonly expiresMs: number | null;
	/** Of its jobs. */
	readonly task: string;
	/** See {@link NewJob.scope}. */
	readonly scope?: string;
	/** Of its jobs, encoded. */
	readonly payload: Encoded;
	/** Of its jobs. */
	readonly priority: number;
	/** Of its jobs. */
	readonly policy: Policy;
}

/** A schedule as the store keeps it. Times are milliseconds since 1970. */
export interface Schedule {
	/** Unique among schedules. */
	readonly name: string;
	/** What it does. */
	readonly spec: ScheduleSpec;
	/** When it was made, or last changed. */
	readonly createdAt: number;
	/** The next moment; `null` if there is none, or not yet: while the job before runs, from whose end the interval counts. */
	readonly nextAt: number | null;
	/** True while it enqueues no jobs. */
	readonly isPaused: boolean;
	/** The job that it enqueued last. */
	readonly lastJobId: JobId | null;
	/** The last moment for which it enqueued a job. */
	readonly lastAt: number | null;
	/** The number of jobs that it has enqueued. */
	readonly runs: number;
	/** The number of moments without a job, since that of an earlier moment had not ended. */
	readonly skipped: number;
	/** The number of moments without a job, since no engine ran. */
	readonly missed: number;
}

/** A change of a schedule. */
export type ScheduleChange = {readonly name: string} & (
	| {
			readonly type: 'set';
			/** Makes the schedule, or changes it. One that is the same already keeps its next moment. */
			readonly spec: ScheduleSpec;
			readonly nextAt: number | null;
			/** The moment of its last job, by which `nextAt` was found: if there is a later one, nothing is changed. `null` for none. */
			readonly lastAt: number | null;
	  }
	| {readonly type: 'pause'}
	| {readonly type: 'delete'}
	/** Ends a pause, if the next moment is still `at`. Otherwise another has ended one meanwhile, and moments have passed that would come twice. */
	| {readonly type: 'resume'; readonly at: number | null; readonly nextAt: number | null}
	/** Enqueues a job for each of these moments, in order, if the next moment is still `at` and the schedule is not paused. */
	| {readonly type: 'advance'; readonly at: number; readonly moments: readonly number[]; readonly nextAt: number | null; readonly missed: number}
	/** Enqueues a job now, beside the moments. */
	| {readonly type: 'run'}
);

/** What became of a {@link ScheduleChange}. */
export interface ScheduleResult {
	/** False if nothing was changed: there is no such schedule; it was the same already; or another engine has advanced it. */
	readonly isDone: boolean;
	/** The jobs that were enqueued. */
	readonly jobIds: readonly JobId[];
}

/** What a change does to a schedule. Both stores write this, and decide nothing themselves. */
export type ScheduleDecision =
	/** Makes the schedule, or changes it. */
	| {readonly type: 'set'; readonly spec: ScheduleSpec; readonly nextAt: number | null}
	| {readonly type: 'delete'}
	/** `skipped` and `missed` are added to those of the schedule. */
	| ({readonly type: 'write'; readonly runs: ScheduledRuns} & Pick<Schedule, 'isPaused' | 'nextAt' | 'lastAt' | 'skipped' | 'missed'>);

/** Jobs to be enqueued, which run one after the other. */
export interface ScheduledRuns {
	/** Whether the first one waits for the last job of the schedule. */
	readonly wait: boolean;
	/** The moment of each, and when it becomes due; `null` for at once. */
	readonly moments: readonly {readonly moment: number; readonly runAt: number | null}[];
}

const NO_RUNS: ScheduledRuns = {wait: false, moments: []};

/**
 * What a change does, as far as the schedule and its last job are still the same; `undefined` for nothing.
 * @param isRunning whether the last job of the schedule has not ended
 * @param random returns a number in [0, 1)
 */
export function decideSchedule(
	schedule: Schedule | undefined,
	change: ScheduleChange,
	isRunning: boolean,
	now: number,
	random: () => number,
): ScheduleDecision | undefined {
	if (change.type === 'set') {
		const {spec, nextAt, lastAt} = change;
		return schedule && (schedule.lastAt !== lastAt || isSameSchedule(schedule.spec, spec)) ? undefined : {type: 'set', spec, nextAt};
	}
	if (!schedule) return undefined;
	const {isPaused, nextAt, lastAt, spec} = schedule;
	if ('at' in change && (nextAt !== change.at || isPaused !== (change.type === 'resume'))) return undefined;
	const same = {type: 'write', isPaused, nextAt, lastAt, skipped: 0, missed: 0, runs: NO_RUNS} as const;
	switch (change.type) {
		case 'delete':
			return {type: 'delete'};
		case 'pause':
			return {...same, isPaused: true};
		case 'resume':
			return {...same, isPaused: false, nextAt: change.nextAt};
		case 'run':
			// Beside the moments, without a delay by chance.
			return isRunning && spec.overlap === 'skip' ? same : {...same, runs: {wait: isRunning, moments: [{moment: now, runAt: null}]}};
		case 'advance':
			return advance({...same, nextAt: change.nextAt, missed: change.missed}, spec, change.moments, isRunning, random);
	}
}

function advance(
	advanced: ScheduleDecision & {readonly type: 'write'},
	{overlap, jitterMs}: ScheduleSpec,
	moments: readonly number[],
	isRunning: boolean,
	random: () => number,
): ScheduleDecision {
	if (isRunning && overlap === 'skip') return {...advanced, skipped: moments.length};
	const runAt = (moment: number) => (jitterMs > 0 ? moment + Math.floor(random() * jitterMs) : null);
	return {...advanced, lastAt: moments.at(-1) ?? advanced.lastAt, runs: {wait: isRunning, moments: moments.map(moment => ({moment, runAt: runAt(moment)}))}};
}

/** True if the interval counts from the end of the job before. */
export function waitsForEnd({timing}: Pick<ScheduleSpec, 'timing'>): boolean {
	return 'from' in timing && timing.from === 'end';
}

/** The most missed moments that get a job. */
export const MAX_CAUGHT_UP = 1000;

/** True if both do the same. A store may return bytes as a Buffer, and properties in another order. */
export function isSameSchedule(a: ScheduleSpec, b: ScheduleSpec): boolean {
	const plain = ({payload, ...spec}: ScheduleSpec) => ({...spec, payload: payload instanceof Uint8Array ? [...payload] : payload});
	return isDeepStrictEqual(plain(a), plain(b));
}

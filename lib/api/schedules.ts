import {argument, atLeast, bad, checked, choice, type Duration, duration, integer, show, text, time} from '../job/checks.ts';
import {decode} from '../job/encoding.ts';
import type {JobId} from '../job/job.ts';
import type {Moments} from '../job/moments.ts';
import type {JobBuilder} from '../job/new-job.ts';
import {checkJobOptions, EXECUTION_CHECKS} from '../job/options.ts';
import {isSameSchedule, type Schedule, type ScheduleChange, type ScheduleResult, type ScheduleSpec, waitsForEnd} from '../job/schedule.ts';
import type {ExecutionOptions, PayloadOf, ProblemOf, TasksOf} from '../job/task/task.ts';
import {FaenaError} from '../support/errors.ts';
import type {DispatcherClient} from '../transport/client.ts';
import {JobHandle} from './job-handle.ts';

/** Options of `setSchedule()`: when it enqueues a job, what else it does, and its task and payload. Options of its jobs have the defaults of `enqueue`.
 * @example await faena.setSchedule('nightly', {cron: '30 2 * * *', timezone: 'Europe/Berlin', task: 'report'}); */
export type ScheduleOptions<Tasks, Name extends keyof TasksOf<Tasks> & string = keyof TasksOf<Tasks> & string> = (
	| {
			/** A cron expression: minute, hour, day of the month, month, day of the week; before them, if there are six, the second. */
			readonly cron: string;
			/** The time zone of the expression, a name of the IANA database; default that of the system. */
			readonly timezone?: string;
			readonly every?: undefined;
			readonly from?: undefined;
	  }
	| {
			/** The time between two moments, at least a second. */
			readonly every: Duration;
			/** `clock` (default): at whole multiples of this time since 1970, in UTC. `end`: so long after the end of the job before. */
			readonly from?: 'clock' | 'end';
			readonly cron?: undefined;
			readonly timezone?: undefined;
	  }
) &
	ExecutionOptions & {
		/**
		 * What to do about moments that were missed, since no engine ran at them or within a minute. `one` (default): one job, for the last of them. `none`:
		 * nothing. `all`: a job for each of the last 1,000, one after the other.
		 */
		readonly catchUp?: 'none' | 'one' | 'all';
		/**
		 * What to do if the job before has not ended at a moment. `skip`: nothing. `queue`: enqueue a job that waits for it. Default `skip`; with `catchUp:
		 * 'all'`, which is to lose no moment, `queue`.
		 */
		readonly overlap?: 'skip' | 'queue';
		/** Jobs start by chance up to this time after their moment, so that many schedules don't start at once. Default: none. */
		readonly jitter?: Duration;
		/** There is no moment after this time: a Date, or milliseconds since 1970. */
		readonly until?: Date | number;
		/** As the option of `enqueue`. */
		readonly expires?: Duration;
	} & {
		[Each in Name]: ProblemOf<Tasks[Each]> extends never
			? undefined extends PayloadOf<Tasks, Each>
				? {readonly task: Each; readonly payload?: PayloadOf<Tasks, Each>}
				: {readonly task: Each; readonly payload: PayloadOf<Tasks, Each>}
			: never;
	}[Name];

/** A schedule, as it is now. @example const info: ScheduleInfo | undefined = await faena.schedule('nightly').info(); */
export interface ScheduleInfo {
	/** Unique among schedules. */
	readonly name: string;
	/** The task of its jobs. */
	readonly task: string;
	/** Their payload, decoded. */
	readonly payload: unknown;
	/** The cron expression and its time zone, or the interval in milliseconds. */
	readonly timing: ScheduleSpec['timing'];
	/** As in {@link ScheduleOptions}. */
	readonly catchUp: 'none' | 'one' | 'all';
	/** As in {@link ScheduleOptions}. */
	readonly overlap: 'skip' | 'queue';
	/** True if it enqueues nothing. */
	readonly isPaused: boolean;
	/** The next moment, in milliseconds since 1970; absent if there is none, or if it depends on the end of the job before. */
	readonly nextAt?: number;
	/** The job that it enqueued last. */
	readonly lastJobId?: JobId;
	/** The last moment for which it enqueued a job, in milliseconds since 1970. */
	readonly lastAt?: number;
	/** The number of jobs that it has enqueued. */
	readonly runs: number;
	/** The number of moments without a job, since the job before had not ended. */
	readonly skipped: number;
	/** The number of moments without a job, since no engine ran. */
	readonly missed: number;
}

const SCHEDULE_CHECKS = {
	task: text,
	payload: (value: unknown) => value,
	cron: text,
	timezone: text,
	every: atLeast(1000),
	from: choice('clock', 'end'),
	catchUp: choice('none', 'one', 'all'),
	overlap: choice('skip', 'queue'),
	jitter: duration,
	until: time,
	expires: atLeast(1),
	...Object.fromEntries(Object.keys(EXECUTION_CHECKS).map(name => [name, (value: unknown) => value])),
};

/** @throws FaenaError `BadOption`, `UnknownTask`, `NotEncodable`, `TooLarge` */
function toSpec(builder: JobBuilder, options: unknown): ScheduleSpec {
	const {task, payload, cron, timezone, every, from, ...more} = checked('setSchedule()', options, SCHEDULE_CHECKS);
	const {catchUp = 'one', overlap = catchUp === 'all' ? 'queue' : 'skip', jitter = 0, until, expires, ...execution} = more;
	if (task === undefined) throw bad(`setSchedule() expects the option task; it got ${show(options)}`);
	if ((cron === undefined) === (every === undefined)) throw bad('setSchedule() expects either cron or every');
	if (cron === undefined && timezone !== undefined) throw bad('setSchedule() got timezone without cron; the times of every are counted from 1970 in UTC');
	if (every === undefined && from !== undefined) throw bad('setSchedule() got from without every');
	const {priority, policy, scope} = builder.resolveChecked('setSchedule()', task, checkJobOptions('setSchedule()', execution));
	const timing: ScheduleSpec['timing'] =
		every === undefined
			? {cron: cron as string, timezone: timezone ?? new Intl.DateTimeFormat().resolvedOptions().timeZone}
			: {everyMs: Math.round(every), from: from ?? 'clock'};
	const rest = {jitterMs: jitter, until: until ?? null, expiresMs: expires ?? null};
	return {timing, catchUp, overlap, ...rest, task, ...(scope !== undefined && {scope}), payload: builder.encode(payload, task), priority, policy};
}

/** How schedules are read and changed: by an engine's dispatcher, or by a command directly. */
export interface ScheduleVerbs {
	list(): Promise<readonly Schedule[]>;
	change(change: ScheduleChange): Promise<ScheduleResult>;
	/** The time by the queue's clock, in milliseconds since 1970. */
	now(): Promise<number>;
}

/**
 * A schedule in the queue. It goes on without the program that made it, in any engine on the queue. Its verbs but `info()` and `next()` reject with
 * `NoSuchSchedule` if there is none.
 * @example await faena.schedule('nightly').pause();
 */
export class ScheduleHandle<Result = unknown> {
	/** The name of the schedule. */
	readonly name: string;
	readonly #client: DispatcherClient;
	readonly #builder: JobBuilder;
	readonly #verbs: ScheduleVerbs;

	/** @internal Use `engine.schedule` or `engine.setSchedule`. */
	constructor(client: DispatcherClient, builder: JobBuilder, name: string) {
		this.#client = client;
		this.#builder = builder;
		this.#verbs = {list: () => client.verb('schedules'), change: change => client.verb('schedule', change), now: () => client.verb('now')};
		this.name = name;
	}

	/** @internal Makes or changes the schedule. */
	async set(options: unknown): Promise<this> {
		const spec = toSpec(this.#builder, options);
		const moments = await momentsOf(spec);
		for (;;) {
			const old = await findSchedule(this.#verbs, this.name);
			if (old && isSameSchedule(old.spec, spec)) return this;
			const nextAt = firstMoment(spec, moments, old, await this.#verbs.now());
			// Otherwise another engine has advanced it meanwhile.
			if ((await this.#verbs.change({type: 'set', name: this.name, spec, nextAt, lastAt: old?.lastAt ?? null})).isDone) return this;
		}
	}

	/** The schedule as it is now; `undefined` if it was deleted. */
	async info(): Promise<ScheduleInfo | undefined> {
		const schedule = await findSchedule(this.#verbs, this.name);
		return schedule && toScheduleInfo(schedule);
	}

	/** The next moments, in milliseconds since 1970: five by default; fewer if it ends before. Of an interval that counts from the end of a job, only one that is known. */
	async next(count = 5): Promise<readonly number[]> {
		const schedule = await findSchedule(this.#verbs, this.name);
		return schedule ? nextMoments(schedule, argument('next()', 'count', count, integer(1, 1000))) : [];
	}

	/**
	 * From now on it enqueues nothing, in any engine. Moments that pass meanwhile are not missed.
	 * @throws FaenaError `NoSuchSchedule`
	 */
	async pause(): Promise<void> {
		await changeExisting(this.#verbs, {type: 'pause', name: this.name});
	}

	/** Ends a {@link pause}. @throws FaenaError `NoSuchSchedule` */
	async resume(): Promise<void> {
		await resumeSchedule(this.#verbs, this.name);
	}

	/**
	 * Enqueues a job at once, beside its moments. `undefined` if the job before has not ended, and the schedule says `overlap: 'skip'`.
	 * @throws FaenaError `NoSuchSchedule`
	 */
	async runNow(): Promise<JobHandle<Result> | undefined> {
		const [id] = await changeExisting(this.#verbs, {type: 'run', name: this.name});
		const task = (await findSchedule(this.#verbs, this.name))?.spec.task ?? '';
		return id === undefined ? undefined : new JobHandle<Result>(this.#client, this.#builder, id, {reused: false, task});
	}

	/** Deletes the schedule. Its jobs stay. @throws FaenaError `NoSuchSchedule` */
	async delete(): Promise<void> {
		await changeExisting(this.#verbs, {type: 'delete', name: this.name});
	}
}

export async function findSchedule(verbs: Pick<ScheduleVerbs, 'list'>, name: string): Promise<Schedule | undefined> {
	return (await verbs.list()).find(schedule => schedule.name === name);
}

/** Returns the jobs that the change has enqueued. @throws FaenaError `NoSuchSchedule` */
export async function changeExisting(verbs: ScheduleVerbs, change: ScheduleChange): Promise<readonly JobId[]> {
	const {isDone, jobIds} = await verbs.change(change);
	if (!isDone) throw noSuchSchedule(change.name);
	return jobIds;
}

/** The next moment of a schedule that is made, or changed; `null` if the store finds it, when the job before has ended. */
function firstMoment(spec: ScheduleSpec, moments: Moments, old: Schedule | undefined, now: number): number | null {
	if (waitsForEnd(spec) && old && old.lastJobId !== null) return null;
	// Not before the last moment: the clock may have been set back.
	const from = Math.max(now, old?.lastAt ?? 0);
	const next = waitsForEnd(spec) ? from : moments.after(from);
	if (next === null || next > (spec.until ?? Infinity)) throw noMoment(spec);
	return next;
}

function noMoment({until, timing}: ScheduleSpec): FaenaError {
	if (until === null && 'cron' in timing) return bad(`setSchedule() got the cron expression ${show(timing.cron)}, whose time never comes`);
	return bad('setSchedule() got a time until before its first moment');
}

/** @throws FaenaError `NoSuchSchedule` */
export async function resumeSchedule(verbs: ScheduleVerbs, name: string): Promise<void> {
	for (;;) {
		const schedule = await findSchedule(verbs, name);
		if (!schedule) throw noSuchSchedule(name);
		if (!schedule.isPaused) return;
		const nextAt = await momentAfterPause(schedule, await verbs.now());
		// Otherwise another has resumed or changed it meanwhile.
		if ((await verbs.change({type: 'resume', name, at: schedule.nextAt, nextAt})).isDone) return;
	}
}

/** A moment that passed during the pause is not made up for. */
async function momentAfterPause({spec, nextAt, lastAt}: Schedule, now: number): Promise<number | null> {
	if (!waitsForEnd(spec)) return (await momentsOf(spec)).after(Math.max(now, lastAt ?? 0));
	return nextAt !== null && nextAt <= now && 'everyMs' in spec.timing ? now + spec.timing.everyMs : nextAt;
}

function noSuchSchedule(name: string): FaenaError {
	return new FaenaError('NoSuchSchedule', `There is no schedule ${JSON.stringify(name)}; it may have been deleted.`);
}

/** The code that reads cron expressions is loaded only for programs that have schedules. */
async function momentsOf({timing, until}: ScheduleSpec) {
	const {Moments} = await import('../job/moments.ts');
	return new Moments(timing, until);
}

export async function nextMoments({spec, nextAt, isPaused}: Schedule, count: number): Promise<readonly number[]> {
	if (nextAt === null || isPaused) return [];
	const more = waitsForEnd(spec) ? [] : (await momentsOf(spec)).list(nextAt, count - 1);
	return [nextAt, ...more];
}

export function toScheduleInfo({name, spec, isPaused, nextAt, lastJobId, lastAt, runs, skipped, missed}: Schedule): ScheduleInfo {
	const {task, payload, timing, catchUp, overlap} = spec;
	return {
		...{name, task, payload: decode(payload), timing, catchUp, overlap, isPaused},
		...(nextAt !== null && {nextAt}),
		...(lastJobId !== null && {lastJobId}),
		...(lastAt !== null && {lastAt}),
		...{runs, skipped, missed},
	};
}

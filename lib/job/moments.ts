import {Cron} from 'croner';
import {bad, show} from './checks.ts';
import {MAX_CAUGHT_UP, type Schedule, type ScheduleSpec, waitsForEnd} from './schedule.ts';

/** A moment that is older than this was missed: no engine ran, or all were busy for so long. */
const LATE_MS = 60_000;
const MAX_CRON_LENGTH = 500;
/** Finds the moments of a schedule. */
export class Moments {
	readonly #all: AllMoments;
	readonly #until: number;

	/** @throws FaenaError `BadOption` if the cron expression or the time zone is none */
	constructor(timing: ScheduleSpec['timing'], until: number | null) {
		this.#all = 'cron' in timing ? momentsOfCron(timing.cron, timing.timezone) : momentsOfInterval(timing.everyMs);
		this.#until = until ?? Infinity;
	}

	/** The first moment after this time; `null` if there is none. */
	after(time: number): number | null {
		const next = this.#all.after(time);
		return next === null || next > this.#until ? null : next;
	}

	/** The next moments after this time. */
	list(time: number, count: number): number[] {
		const moments: number[] = [];
		for (let at = this.after(time); at !== null && moments.length < count; at = this.after(at)) moments.push(at);
		return moments;
	}

	/** The last moments from the first one, which is one itself, up to `now`; and how many there are in all, which is estimated if they are more than `limit`. */
	upTo(first: number, now: number, limit: number): {readonly moments: readonly number[]; readonly count: number} {
		const moments: number[] = [];
		let at: number | null = first;
		for (; at !== null && at <= now && moments.length < limit; at = this.after(at)) moments.push(at);
		if (at === null || at > now) return {moments, count: moments.length};
		const latest = this.#all.latest(Math.min(now, this.#until), limit);
		const last = latest.at(-1) as number;
		const averageMs = (last - (latest[0] as number)) / (limit - 1);
		return {moments: latest, count: Math.round((last - first) / averageMs) + 1};
	}
}

/** The moments of a schedule that never ends. */
interface AllMoments {
	/** The first one after this time; `null` if there is none. */
	after(time: number): number | null;
	/** The last ones up to this time, in order. */
	latest(time: number, count: number): number[];
}

function momentsOfInterval(everyMs: number): AllMoments {
	const latest = (time: number) => Math.floor(time / everyMs) * everyMs;
	return {
		after: time => latest(time) + everyMs,
		latest: (time, count) => Array.from({length: count}, (_, index) => latest(time) - (count - 1 - index) * everyMs),
	};
}

function momentsOfCron(cron: string, timezone: string): AllMoments {
	const expression = parseCron(cron, timezone);
	return {
		after: time => expression.nextRun(new Date(time))?.getTime() ?? null,
		latest: (time, count) =>
			expression
				.previousRuns(count, new Date(time + 1))
				.map(each => each.getTime())
				.reverse(),
	};
}

function parseCron(cron: string, timezone: string): Cron {
	if (cron.length > MAX_CRON_LENGTH) throw bad(`setSchedule() expects as cron at most ${MAX_CRON_LENGTH} characters; it got ${cron.length}`);
	try {
		new Intl.DateTimeFormat('en', {timeZone: timezone});
	} catch {
		throw bad(`setSchedule() expects as timezone a name of the IANA database, such as 'Europe/Berlin'; it got ${show(timezone)}`);
	}
	try {
		return new Cron(cron, {timezone, paused: true});
	} catch (error) {
		const why = (error as Error).message.replace(/^CronPattern: /, '').replace(/\.$/, '');
		throw bad(
			`setSchedule() expects as cron an expression such as '0 2 * * *' (minute, hour, day of the month, month, day of the week); it got ${show(cron)}: ${why}`,
		);
	}
}

/** For which moments a schedule that is due enqueues jobs. */
export function dueMoments(
	{spec: {timing, catchUp, until}}: Schedule,
	at: number,
	now: number,
): {readonly moments: readonly number[]; readonly nextAt: number | null; readonly missed: number} {
	// The next one is known when the job has ended.
	if (waitsForEnd({timing})) return {moments: [at], nextAt: null, missed: 0};
	const all = new Moments(timing, until);
	const {moments, count} = all.upTo(at, now, MAX_CAUGHT_UP);
	const nextAt = all.after(now);
	const last = moments.slice(-1);
	const isLate = (last[0] ?? 0) < now - LATE_MS;
	const caughtUp = catchUp === 'all' ? moments : catchUp === 'one' || !isLate ? last : [];
	return {moments: caughtUp, nextAt, missed: count - caughtUp.length};
}

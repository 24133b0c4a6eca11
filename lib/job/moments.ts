import {Cron} from 'croner';
import {bad, show} from './checks.ts';
import {MAX_CAUGHT_UP, type Schedule, type Timing} from './schedule.ts';

/** A moment that is older than this was missed: no engine ran, or all were busy for so long. */
const LATE_MS = 60_000;
/** More moments than this are not walked through one by one. */
const MAX_STEPS = 10_000;

/** Finds the moments of a schedule. */
export class Moments {
	readonly #next: (after: number) => number | null;
	readonly #until: number;

	/** @throws FaenaError `BadOption` if the cron expression or the time zone is none, or the expression never comes */
	constructor(timing: Timing, until: number | null) {
		this.#next = 'cron' in timing ? cronOf(timing.cron, timing.timezone) : after => (Math.floor(after / timing.everyMs) + 1) * timing.everyMs;
		this.#until = until ?? Infinity;
	}

	/** The first moment after this time; `null` if there is none. */
	after(time: number): number | null {
		const next = this.#next(time);
		return next === null || next > this.#until ? null : next;
	}

	/** The next moments after this time. */
	list(time: number, count: number): number[] {
		const moments: number[] = [];
		for (let at = this.after(time); at !== null && moments.length < count; at = this.after(at)) moments.push(at);
		return moments;
	}

	/** The last moments from the first one, which is one itself, up to `now`; and how many there are in all, as far as they were counted. */
	upTo(first: number, now: number, limit: number): {readonly moments: number[]; readonly count: number} {
		const moments: number[] = [];
		let count = 0;
		let at: number | null = first;
		for (; at !== null && at <= now && count < MAX_STEPS; at = this.after(at)) {
			count++;
			if (moments.push(at) > limit) moments.shift();
		}
		if (at === null || at > now) return {moments, count};
		// Far too many: goes on near the end, at a distance in which there should be as many as are wanted.
		const averageMs = (at - first) / count;
		const near = this.after(Math.max(at, now - averageMs * limit * 2));
		const rest = near === null ? {moments, count: 0} : this.upTo(near, now, limit);
		return {moments: rest.moments, count: Math.round((now - first) / averageMs)};
	}
}

function cronOf(cron: string, timezone: string): (after: number) => number | null {
	const expression = parseCron(cron, timezone);
	return after => expression.nextRun(new Date(after))?.getTime() ?? null;
}

function parseCron(cron: string, timezone: string): Cron {
	try {
		new Intl.DateTimeFormat('en', {timeZone: timezone});
	} catch {
		throw bad(`schedule() expects as timezone a name of the IANA database, such as 'Europe/Berlin'; it got ${show(timezone)}`);
	}
	let expression: Cron;
	try {
		expression = new Cron(cron, {timezone, paused: true});
	} catch (error) {
		const why = (error as Error).message.replace(/^CronPattern: /, '').replace(/\.$/, '');
		throw bad(
			`schedule() expects as cron an expression such as '0 2 * * *' (minute, hour, day of the month, month, day of the week); it got ${show(cron)}: ${why}`,
		);
	}
	if (expression.nextRun(new Date()) === null) throw bad(`schedule() got the cron expression ${show(cron)}, whose time never comes`);
	return expression;
}

/** For which moments a schedule that is due enqueues jobs. */
export function dueMoments(
	{spec: {timing, catchUp, until}}: Schedule,
	at: number,
	now: number,
): {readonly moments: readonly number[]; readonly nextAt: number | null; readonly missed: number} {
	// The next one is known when the job has ended.
	if ('from' in timing && timing.from === 'end') return {moments: [at], nextAt: null, missed: 0};
	const all = new Moments(timing, until);
	const {moments, count} = all.upTo(at, now, MAX_CAUGHT_UP);
	const nextAt = all.after(now);
	const last = moments.slice(-1);
	const isLate = (last[0] ?? 0) < now - LATE_MS;
	const caughtUp = catchUp === 'all' ? moments : catchUp === 'one' || !isLate ? last : [];
	return {moments: caughtUp, nextAt, missed: count - caughtUp.length};
}

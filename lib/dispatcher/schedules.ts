import type {Schedule, ScheduleChange} from '../job/schedule.ts';
import {FaenaError} from '../support/errors.ts';
import type {Committer} from './committer.ts';
import type {Context} from './context.ts';
import {isRefusal} from './retries.ts';

/** If no schedule that is due could be advanced, this long passes before the next try: another program has damaged it, or its time zone is unknown here. */
const REST_MS = 1000;

/** Enqueues the jobs of schedules whose moment has come. Each engine does it; the store lets only one of them advance a schedule. */
export class Schedules {
	readonly #context: Context;
	readonly #committer: Committer;
	/** The names of schedules that could not be advanced, which was reported. */
	readonly #broken = new Set<string>();
	/** By the steady clock. */
	#restsUntil = -Infinity;
	/** The next moment of a schedule that can be advanced, while this rests. */
	#nextSoundAt = Infinity;

	constructor(context: Context, committer: Committer) {
		this.#context = context;
		this.#committer = committer;
		// It is not known yet.
		context.agenda.set('moments', -Infinity);
	}

	/** True if the moment of a schedule has come; and at first, since none is known then. */
	get isDue(): boolean {
		return this.dueInMs <= 0;
	}

	get dueInMs(): number {
		const {agenda, clock} = this.#context;
		const restMs = Math.min(this.#restsUntil - clock.steadyMs(), this.#nextSoundAt - clock.now());
		return Math.max(agenda.inMs('moments'), restMs);
	}

	/** Advances each schedule in a transaction of its own: one may enqueue 1,000 jobs, and one that can't be advanced must not keep back the others. */
	async work(): Promise<void> {
		const {store, agenda, clock, maintain} = this.#context;
		const now = clock.now();
		const momentOf = ({nextAt, isPaused}: Schedule) => (isPaused ? Infinity : (nextAt ?? Infinity));
		const schedules = await store.schedules();
		const due = schedules.filter(schedule => momentOf(schedule) <= now);
		let advanced = 0;
		for (const [index, schedule] of due.entries()) {
			if (index > 0) await maintain();
			if (await this.#advance(schedule, now)) advanced++;
		}
		// An advance has told it. Without one it is unknown at first, or another engine has moved it on.
		if (advanced === 0) agenda.set('moments', (await store.commit({})).momentInMs ?? Infinity);
		const isFruitless = advanced === 0 && agenda.isDue('moments');
		this.#restsUntil = isFruitless ? clock.steadyMs() + REST_MS : -Infinity;
		this.#nextSoundAt = Math.min(...schedules.map(momentOf).filter(at => at > now));
	}

	/** Returns false if it can't be advanced. */
	async #advance(schedule: Schedule, now: number): Promise<boolean> {
		const {store, agenda, clients} = this.#context;
		const {name, spec} = schedule;
		try {
			const {scheduled, momentInMs} = await store.commit({schedule: [await changeFor(schedule, now)]});
			agenda.set('moments', momentInMs ?? Infinity);
			this.#broken.delete(name);
			if (scheduled?.some(({jobIds}) => jobIds.length > 0)) this.#committer.jobsMayBeReady();
			return true;
		} catch (error) {
			if (!isRefusal(error) && !(error instanceof FaenaError && error.code === 'BadOption')) throw error;
			const why = `The schedule ${JSON.stringify(name)} enqueues nothing. ${error.message} Set the schedule anew, or delete it.`;
			if (!this.#broken.has(name)) clients.refused({task: spec.task}, new FaenaError('BadRow', why));
			this.#broken.add(name);
			return false;
		}
	}
}

async function changeFor(schedule: Schedule, now: number): Promise<ScheduleChange> {
	// Loaded only here: most programs have no schedules.
	const {dueMoments} = await import('../job/moments.ts');
	const at = schedule.nextAt as number;
	return {name: schedule.name, type: 'advance', at, ...dueMoments(schedule, at, now)};
}

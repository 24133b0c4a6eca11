import type {Schedule, ScheduleChange} from '../job/schedule.ts';
import type {Host, JobFlow} from './job-flow.ts';

/**
 * Enqueues the jobs of schedules whose moment has come. Each engine does it, and the store lets only one of them advance a schedule from one moment to
 * the next.
 */
export class Schedules {
	readonly #host: Host;
	readonly #flow: JobFlow;

	constructor(host: Host, flow: JobFlow) {
		this.#host = host;
		this.#flow = flow;
	}

	/** True if the moment of a schedule has come; and at first, since none is known then. */
	get isDue(): boolean {
		return this.#flow.momentAt <= this.#host.clock.now();
	}

	/** How long until the next moment. */
	get dueInMs(): number {
		return this.#flow.momentAt - this.#host.clock.now();
	}

	async work(): Promise<void> {
		const {store, clock} = this.#host;
		const now = clock.now();
		const due = (await store.schedules()).filter(({nextAt, isPaused}) => !isPaused && nextAt !== null && nextAt <= now);
		const schedule = due.length > 0 ? await changesFor(due, now) : [];
		const {momentInMs, scheduled = []} = await store.commit({schedule});
		this.#flow.momentIn(momentInMs);
		if (scheduled.some(({jobIds}) => jobIds.length > 0)) this.#flow.jobsMayBeReady();
	}
}

async function changesFor(due: readonly Schedule[], now: number): Promise<ScheduleChange[]> {
	// Loaded only here: most programs have no schedules.
	const {dueMoments} = await import('../job/moments.ts');
	return due.map(schedule => {
		const at = schedule.nextAt as number;
		return {name: schedule.name, type: 'advance', at, ...dueMoments(schedule, at, now)};
	});
}

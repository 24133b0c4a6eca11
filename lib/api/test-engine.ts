import {setTimeout as sleep} from 'node:timers/promises';
import {argument, checked, choice, duration} from '../job/checks.ts';
import {type Counts, type Duration, isTerminal, type Job, type JobId, type JobStatus, STATUSES} from '../job/job.ts';
import {FaenaError} from '../support/errors.ts';
import type {DispatcherClient} from '../transport/client.ts';
import {Engine} from './engine.ts';
import type {Events} from './events.ts';
import {checkId} from './job-filters.ts';
import {JobHandle} from './job-handle.ts';
import type {Settings} from './open-options.ts';
import type {TestClock} from './test-clock.ts';

/** How often {@link TestEngine.waitFor} looks at the job. */
const LOOK_EVERY_MS = 5;

/** An engine with a clock that a test moves. `openForTest` makes it. */
export class TestEngine<Tasks> extends Engine<Tasks> {
	/** The clock of the engine and its store. It stands still until the test moves it. */
	readonly clock: TestClock;
	readonly #client: DispatcherClient;
	readonly #closed: () => void;

	/** @internal Use `openForTest`. */
	constructor(settings: Settings, client: DispatcherClient, events: Events, clock: TestClock, closed: () => void) {
		super(settings, client, events, () => clock.now);
		this.clock = clock;
		this.#client = client;
		this.#closed = closed;
		// Any call makes the dispatcher look at the clock.
		clock.listen(() => void client.call({type: 'unwatch', ids: []}).catch(() => undefined));
	}

	/**
	 * Runs all jobs that are due, the jobs that these enqueue, and so on. Delayed, paused and parked jobs stay. Resolves with the
	 * numbers of jobs by status.
	 */
	async drain(): Promise<Counts> {
		await this.#client.call({type: 'idle', waiting: false});
		return this.counts();
	}

	/**
	 * Waits until the job has this status, and resolves with the job. A status that lasts only briefly may be missed.
	 * @param options.timeout in real time; default 5 s
	 * @throws FaenaError `WaitTimeout`, with the job's last status: after the timeout, or at once if the job ends with another status; `NoSuchJob`
	 */
	async waitFor(job: JobHandle | JobId, status: JobStatus, options: {readonly timeout?: Duration} = {}): Promise<Job> {
		const id = job instanceof JobHandle ? job.id : checkId(job);
		argument('waitFor()', 'status', status, choice(...STATUSES));
		const {timeout = 5000} = checked('waitFor()', options, {timeout: duration}) as {readonly timeout?: number};
		for (const until = performance.now() + timeout; ; await sleep(LOOK_EVERY_MS)) {
			const found = await this.#client.verb('job', id);
			if (!found) throw new FaenaError('NoSuchJob', `There is no job ${id} to wait for.`);
			if (found.status === status) return found;
			if (isTerminal(found.status) || performance.now() >= until) throw notReached(found, status, timeout, this.clock.now);
		}
	}

	/** Closes the engine and removes its database, as {@link Engine.close}. */
	override async close(options: {readonly drain?: Duration} = {}): Promise<void> {
		try {
			await super.close(options);
		} finally {
			this.#closed();
		}
	}
}

function notReached({id, task, status, runAt, error}: Job, wanted: JobStatus, timeoutMs: number, now: number): FaenaError {
	const state = `Job ${id} (${task}) is ${status}`;
	const why = error ? ` Its error: ${error.name}: ${error.message}` : '';
	if (isTerminal(status)) return new FaenaError('WaitTimeout', `${state} and will not be ${wanted}.${why}`);
	const due = runAt === undefined ? '' : `, due in ${runAt - now} ms by the test's clock`;
	return new FaenaError('WaitTimeout', `${state}${due}, and was not ${wanted} after ${timeoutMs / 1000} s.${why}`);
}

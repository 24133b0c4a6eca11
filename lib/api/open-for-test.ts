import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {pathToFileURL} from 'node:url';
import {argument, bad, type Checks, checked, choice, type Duration, duration, giving, number, object, time} from '../job/checks.ts';
import {type Counts, isTerminal, type Job, type JobRef, type JobStatus, STATUSES, UNENDED_STATUSES} from '../job/job.ts';
import {checkId} from '../job/options.ts';
import type {AnyTasks} from '../job/task/task.ts';
import {functionsOf, registerTasks, type TaskModule} from '../job/task/task-module.ts';
import {noSuchJob} from '../store/conflict-errors.ts';
import {systemClock} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import {arm, type Failpoints} from '../support/failpoint.ts';
import type {DispatcherClient} from '../transport/client.ts';
import {connect, Engine} from './engine.ts';
import type {Events} from './events.ts';
import {openInline} from './inline.ts';
import {findJob} from './job-info.ts';
import {OPEN_CHECKS, type OpenOptions, resolveOpenOptions, type Settings} from './open-options.ts';

/** Options of {@link openForTest}: some of those of `open()`, and its own. @example const options: TestOptions = {now: new Date('2026-01-01'), workers: 2}; */
export interface TestOptions extends Partial<Omit<OpenOptions, 'tasks' | 'isolation' | 'lease' | 'closeOnSignals'>> {
	/** The database file. Default: a new file in the system's temporary folder, which `close()` removes. A file that is given is kept. */
	readonly queue?: string | URL;
	/** Default `normal`: a test's jobs need not survive a loss of power. */
	readonly durability?: 'full' | 'normal';
	/** Jobs that may run at the same time, while they wait for something; default 1, so that they run in order. */
	readonly workers?: number;
	/** The clock's first time: a Date, or milliseconds since 1970; default: the system's time. */
	readonly now?: Date | number;
	/** Returns a number in [0, 1) for the jitter of each backoff; default always 0, which is no jitter. For others, pass a seeded generator. */
	readonly random?: () => number;
	/** What happens at which of the {@link FAILPOINTS}, once each: in this thread, in any engine that reaches it, until `close()`. */
	readonly failpoints?: Failpoints;
}

/**
 * Opens an engine for a test: it runs in the caller's thread, on a database that `close()` removes, with a clock that only the
 * test moves. Delays, backoff and cleanup use that clock. Timeouts of running tasks, and waits, take real time.
 * @param tasks what `defineTasks()` made; an object of functions, such as a module (`import * as tasks`) or stubs for one; or a module's URL or path
 * @example
 * await using faena = await openForTest({greet: (name: string) => `Hello ${name}`});
 * await faena.enqueue('greet', 'Ana', {delay: '1h'});
 * faena.clock.advance('1h');
 * assert.equal((await faena.drain()).completed, 1);
 * @throws FaenaError `BadOption`, `BadTasksModule`, `BadDatabase`, `NewerDatabase`
 */
export function openForTest<Tasks = AnyTasks>(tasks: URL | string | TaskModule<Tasks>, options?: TestOptions): Promise<TestEngine<Tasks>>;
export function openForTest<Tasks extends object>(tasks: Tasks, options?: TestOptions): Promise<TestEngine<Tasks>>;
export async function openForTest(tasks: object | string, options: TestOptions = {}): Promise<TestEngine<AnyTasks>> {
	if (tasks === null || tasks === undefined) throw bad('openForTest() expects first the tasks: an object of functions, or the URL of their module');
	const {random = () => 0} = checked('openForTest()', options, TEST_CHECKS) as Pick<TestOptions, 'random'>;
	const {now, random: _, failpoints = {}, ...given} = options;
	const disarm = arm(failpoints);
	const folder = mkdtempSync(join(resolve(tmpdir()), 'faena-test-'));
	const isModule = typeof tasks === 'string' || tasks instanceof URL;
	const module = isModule ? tasks : pathToFileURL(join(folder, 'tasks'));
	const remove = () => {
		disarm();
		registerTasks(String(module), undefined);
		rmSync(folder, {recursive: true, force: true});
	};
	try {
		const settings = resolveOpenOptions({
			...{queue: join(folder, 'jobs.db'), durability: 'normal', workers: 1},
			// Each module of an object is a new one, whose scope no other engine would have.
			...(!isModule && {scope: []}),
			...given,
			...FIXED,
			tasks: module,
		});
		const clock = new TestClock(now ?? Date.now());
		if (!isModule) registerTasks(String(module), functionsOf(tasks, String(module)));
		return await connect(
			settings,
			(start, publish) => openInline(start, publish, {clock: {...systemClock, now: () => clock.now}, random}),
			(client, events) => new TestEngine<AnyTasks>(settings, client, events, clock, remove),
		);
	} catch (error) {
		remove();
		throw error;
	}
}

/** The long lease keeps the owner alive however far the test moves the clock: no other engine could take over its jobs. */
const FIXED = {isolation: 'inline', lease: '10y'} as const;

const {tasks: _, isolation: __, lease: ___, closeOnSignals: ____, ...OF_OPEN} = OPEN_CHECKS;
const TEST_CHECKS: Checks = {...OF_OPEN, now: time, random: giving('openForTest()', 'random', number(0, 1)), failpoints: object};

/** The wall clock of a test: it stands still until the test moves it. @example const {clock} = await openForTest({}); clock.advance('1h'); */
export class TestClock {
	#now: number;
	/** @internal Called whenever the clock has moved. */
	moved: () => void = () => undefined;

	/**
	 * @param now a Date, or milliseconds since 1970, rounded to whole ones
	 * @throws FaenaError `BadOption`
	 */
	constructor(now: Date | number) {
		this.#now = argument('new TestClock()', 'now', now, time);
	}

	/** Milliseconds since 1970. */
	get now(): number {
		return this.#now;
	}

	/**
	 * Moves the clock forward, by whole milliseconds. Jobs that become due start to run; await their ends, or `drain()`.
	 * @throws FaenaError `BadOption`
	 */
	advance(by: Duration): void {
		this.#now += argument('clock.advance()', 'time', by, duration);
		this.moved();
	}
}

/** How long, in real time, until a test that waits is told for what. */
const STUCK_MS = 2000;
/** How often {@link TestEngine.waitFor} looks at the job. */
const LOOK_EVERY_MS = 5;

/** An engine with a clock that a test moves. `openForTest` makes it. @example const drain = (faena: TestEngine<AnyTasks>) => faena.drain(); */
export class TestEngine<Tasks> extends Engine<Tasks> {
	/** The clock of the engine and its store. It stands still until the test moves it. */
	readonly clock: TestClock;
	readonly #client: DispatcherClient;
	readonly #closed: () => void;
	readonly #events: Events;
	readonly #stuckTimer: NodeJS.Timeout;

	/** @internal Use `openForTest`. */
	constructor(settings: Settings, client: DispatcherClient, events: Events, clock: TestClock, closed: () => void) {
		super(settings, client, events);
		this.clock = clock;
		this.#client = client;
		this.#closed = closed;
		this.#events = events;
		this.#stuckTimer = setInterval(() => void this.#warnIfStuck().catch(() => undefined), STUCK_MS).unref();
		// Any call makes the dispatcher look at the clock.
		clock.moved = () => void client.call({type: 'unwatch', ids: []}).catch(() => undefined);
	}

	/**
	 * Runs all jobs that are due, the jobs that these enqueue, and so on, and deletes what `retention` keeps no longer. Delayed, paused and parked jobs
	 * stay. Resolves with the counts.
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
	async waitFor(job: JobRef, status: JobStatus, options: {readonly timeout?: Duration} = {}): Promise<Job> {
		const id = checkId(job);
		argument('waitFor()', 'status', status, choice(...STATUSES));
		const {timeout = 5000} = checked('waitFor()', options, {timeout: duration});
		for (const until = performance.now() + timeout; ; await sleep(LOOK_EVERY_MS)) {
			const found = await findJob(this.#client, id);
			if (!found) throw noSuchJob(id);
			if (found.status === status) return found;
			if (isTerminal(found.status) || performance.now() >= until) throw notReached(found, status, timeout, this.clock.now);
		}
	}

	/** A test that waits for a job that waits for the test would hang without a word. */
	async #warnIfStuck(): Promise<void> {
		if (!this.#client.isWatching) return;
		const open = await this.jobs({status: UNENDED_STATUSES}).page();
		const [next] = open.toSorted((a, b) => (a.runAt ?? 0) - (b.runAt ?? 0));
		const inMs = (next?.runAt ?? 0) - this.clock.now;
		if (!next || inMs <= 0 || open.hasMore || open.some(({status}) => status === 'running')) return;
		clearInterval(this.#stuckTimer);
		const advice = next.status === 'failed' ? `, or open the engine with {defaults: {backoff: 0}}. Its error: ${next.error?.message}` : '';
		this.#events.warn(`A test waits, and ${stateOf(next, this.clock.now)}. Move it by faena.clock.advance(${inMs})${advice}`);
	}

	/** Closes the engine and removes its database, as {@link Engine.close}. */
	override async close(options: {readonly drain?: Duration} = {}): Promise<void> {
		clearInterval(this.#stuckTimer);
		try {
			await super.close(options);
		} finally {
			this.#closed();
		}
	}
}

/** For instance `job 3 (resize) is failed, due in 1000 ms by the test's clock`. */
function stateOf({id, task, status, runAt}: Job, now: number): string {
	const due = runAt === undefined ? '' : `, due in ${runAt - now} ms by the test's clock`;
	return `job ${id} (${task}) is ${status}${due}`;
}

function notReached(job: Job, wanted: JobStatus, timeoutMs: number, now: number): FaenaError {
	const {status, error} = job;
	const state = stateOf(job, now).replace(/^j/, 'J');
	const why = error ? ` Its error: ${error.name}: ${error.message}` : '';
	if (isTerminal(status)) return new FaenaError('WaitTimeout', `${state} and will not be ${wanted}.${why}`);
	return new FaenaError('WaitTimeout', `${state}, and was not ${wanted} after ${timeoutMs / 1000} s.${why}`);
}

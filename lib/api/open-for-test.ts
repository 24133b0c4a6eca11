import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import {pathToFileURL} from 'node:url';
import {bad, type Checks, checked, giving, number, object, time} from '../job/checks.ts';
import {systemClock} from '../support/clock.ts';
import {arm, type Failpoints} from '../support/failpoint.ts';
import {standIn} from '../worker/tasks-module.ts';
import {InlineTransport} from './inline.ts';
import {connect} from './open.ts';
import {OPEN_CHECKS, type OpenOptions, resolveOpenOptions} from './open-options.ts';
import {TestClock} from './test-clock.ts';
import {TestEngine} from './test-engine.ts';
import type {AnyTasks} from './typed-tasks.ts';

/** Options of {@link openForTest}: some of those of `open()`, and its own. */
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
 * @param tasks an object of functions, such as a module (`import * as tasks`) or stubs for one; or a module's URL or path
 * @example
 * await using faena = await openForTest({greet: (name: string) => `Hello ${name}`});
 * await faena.enqueue('greet', 'Ana', {delay: '1h'});
 * faena.clock.advance('1h');
 * assert.equal((await faena.drain()).completed, 1);
 * @throws FaenaError `BadOption`, `BadTasksModule`, `BadDatabase`, `NewerDatabase`
 */
export function openForTest<Tasks = AnyTasks>(tasks: URL | string, options?: TestOptions): Promise<TestEngine<Tasks>>;
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
		standIn(String(module), undefined);
		rmSync(folder, {recursive: true, force: true});
	};
	try {
		const settings = resolveOpenOptions({queue: join(folder, 'jobs.db'), durability: 'normal', workers: 1, ...given, ...FIXED, tasks: module});
		const clock = new TestClock(now ?? Date.now());
		if (!isModule) standIn(String(module), tasks);
		return await connect(
			settings,
			(start, tell) => InlineTransport.open(start, tell, {clock: {...systemClock, now: () => clock.now}, random}),
			(client, events) => new TestEngine<AnyTasks>(settings, client, events, clock, remove),
		);
	} catch (error) {
		remove();
		throw error;
	}
}

/** The long lease keeps the owner alive however far the test moves the clock: no other engine could take over its jobs. */
const FIXED = {isolation: 'inline', lease: '10y'} as const;

const UNUSED = ['tasks', 'isolation', 'lease', 'closeOnSignals'];
const TEST_CHECKS: Checks = {
	...Object.fromEntries(Object.entries(OPEN_CHECKS).filter(([name]) => !UNUSED.includes(name))),
	...{now: time, random: giving('openForTest()', 'random', number(0, 1)), failpoints: object},
};

import assert from 'node:assert/strict';
import {isDeepStrictEqual} from 'node:util';
import fc from 'fast-check';
import {type BatchId, type CompletedBatch, MARK_EVERY_MS} from '../../lib/job/batch.ts';
import type {Claim, Outcome} from '../../lib/job/claim.ts';
import type {Encoded} from '../../lib/job/encoding.ts';
import type {FailureRecord} from '../../lib/job/failure.ts';
import {type Job, type JobEdit, type JobId, type JobStatus, STATUSES, TRANSITIONS} from '../../lib/job/job.ts';
import type {ChildJob} from '../../lib/job/new-job.ts';
import type {OnParentDead, Parents} from '../../lib/job/parents.ts';
import {forPolicyNumbers, type Policy} from '../../lib/job/policy.ts';
import type {Schedule, ScheduleChange, ScheduleSpec} from '../../lib/job/schedule.ts';
import {type JobFilter, type JobSearch, type MoveTarget, type Place, SORTS} from '../../lib/job/search.ts';
import type {Deleted, EndedDeletion} from '../../lib/store/deletions.ts';
import type {ClaimRequest, Moved, MovePage, Store, TaskCounts} from '../../lib/store/store.ts';
import {type ErrorCode, FaenaError} from '../../lib/support/errors.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {OpenedJobs} from '../fixtures/open-jobs.ts';
import {commitPlain, type PlainChanges, type PlainCommitted, type PlainJob} from '../fixtures/plain.ts';
import {RawQueue} from '../fixtures/raw-queue.ts';
import type {StoreOptions} from '../store/contract.ts';
import {MemoryStore} from '../store/oracle.ts';

/** A store under test. Calling `open` again after `close` opens the same jobs. */
export interface Subject {
	open(): Promise<Store>;
	/** Resolves when what a timer has begun may be done, for a store that waits for a server. */
	nextTurn?(): Promise<void>;
	/** Called after the last close. */
	dispose?(): void | Promise<void>;
}

export interface ModelOptions {
	/** The same seed makes the same sequences. */
	readonly seed: number;
	/** The number of sequences of commands to try. */
	readonly runs: number;
	/** False for a store that can't be reopened. Default true. */
	readonly isDurable?: boolean;
	/** False for a store whose owners can't die without it, so that it need not know which jobs their workers had open. Default true. */
	readonly knowsOpenJobs?: boolean;
	/** True to end at the first sequence that fails, without a search for the shortest one. Default false. */
	readonly endOnFailure?: boolean;
}

/**
 * Gives the same random commands to the store under test and to {@link MemoryStore}, and fails with the shortest sequence after which their answers
 * differ. A command is data. It names earlier claims by position and times by difference, so that it stays valid when earlier commands are left out.
 */
export async function checkModel(
	makeSubject: (options: StoreOptions) => Subject,
	{seed, runs, isDurable = true, knowsOpenJobs = true, endOnFailure = false}: ModelOptions,
): Promise<void> {
	const property = fc.asyncProperty(fc.array(part, {minLength: 1, maxLength: 70, size: 'max'}), async parts => {
		const world = await openWorld(makeSubject, isDurable, knowsOpenJobs);
		try {
			for (const command of parts.flat()) await step(world, command);
			await compareAll(world);
		} finally {
			await world.real.queue.close();
			await world.subject.dispose?.();
		}
	});
	await fc.assert(property, {
		seed,
		numRuns: runs,
		endOnFailure,
		interruptAfterTimeLimit: msFor(runs),
		markInterruptAsFailure: true,
		includeErrorInReport: true,
	});
}

/** After so long a search for the shortest sequence ends, or all of it fails. */
function msFor(runs: number): number {
	return Math.max(480_000, runs * 4000);
}

/** Milliseconds that a test of so many sequences may take, with the report of a failure. */
export function timeoutFor(runs: number): number {
	return msFor(runs) + 120_000;
}

/** The state of a sequence of commands. */
interface World {
	readonly subject: Subject;
	readonly isDurable: boolean;
	readonly real: Side;
	readonly model: Side;
	readonly clock: HandClock;
	/** The jobs that the owners' workers have open. */
	readonly opened: OpenedJobs;
	/** Every claim of the sequence, also lost ones. */
	readonly claims: Claim[];
	/** Of each execution, as `id execution`, the scopes of who has claimed it. */
	readonly claimants: Map<string, readonly string[]>;
	/** Jobs that a run of their batch has found unended, and that it or a later one has not named. */
	readonly unnamed: Set<JobId>;
	/** The number of commands done. */
	steps: number;
	/** The model's jobs after the last command. */
	jobs: readonly Job[];
}

interface Side {
	queue: RawQueue;
	/** The open batches by name, since each store has its own batch ids. */
	readonly batches: Map<string, BatchId>;
	/** Batches whose completion was reported. */
	readonly completed: CompletedBatch[];
	/** Claims that owners were told to stop, as text. */
	readonly stops: Set<string>;
}

const T0 = 1_700_000_000_000;
const LEASE_MS = 50;
const MAX_JOBS = 100_000;

async function openWorld(makeSubject: (options: StoreOptions) => Subject, isDurable: boolean, knowsOpenJobs: boolean): Promise<World> {
	const clock: HandClock = new HandClock(T0, () => (subject.nextTurn ? subject.nextTurn() : new Promise(resolve => setImmediate(resolve))));
	// Constant during a command, since each store may ask for any number of random numbers.
	const random = () => (world.steps * 0.618034) % 1;
	const opened = new OpenedJobs();
	const options: StoreOptions = {clock, random, leaseMs: LEASE_MS, openJobs: knowsOpenJobs ? opened.of : () => []};
	const subject: Subject = makeSubject(options);
	const [real, model] = [toSide(await subject.open()), toSide(new MemoryStore(options))];
	const world: World = {subject, isDurable, real, model, clock, opened, claims: [], claimants: new Map(), unnamed: new Set(), steps: 0, jobs: []};
	return world;
}

function toSide(store: Store): Side {
	const side: Side = {queue: new RawQueue(store), batches: new Map(), completed: [], stops: new Set()};
	listen(side);
	return side;
}

function listen({queue, completed, stops}: Side): void {
	queue.onBatchCompleted(batch => completed.push(batch));
	for (const owner of OWNERS) {
		queue.store.listen(owner, news => {
			if (news.type === 'changed') for (const claim of news.stop) stops.add(JSON.stringify({owner, ...claim}));
		});
	}
}

/** Runs one command on both stores, whose answers must be equal. */
async function step(world: World, command: Command): Promise<void> {
	world.steps++;
	const claimed = world.claims.length;
	if (command.type === 'advance') world.clock.pass(command.ms);
	else if (command.type === 'set') world.clock.jump(command.ms);
	else if (command.type === 'poll') await poll(world);
	else if (command.type === 'reopen') await reopen(world);
	else if (command.type === 'outlast') await outlast(world, command.ms);
	else await compare(world, JSON.stringify(command), toAsk(command, world));
	const before = world.jobs;
	await checkLaws(world, command);
	checkIdentity(world, command, before, world.claims.slice(claimed));
}

/** Lets the listeners poll. A store may report a claim at any poll, but in the end both stores must have reported the same claims. */
async function poll(world: World): Promise<void> {
	for (let looks = 0; looks < 10; looks++) await world.clock.advance(10);
	await compare(world, 'stops', ({stops}) => [...stops].sort());
}

async function outlast(world: World, ms: number): Promise<void> {
	const ask: Ask = ({queue}) => queue.reclaim();
	await compare(world, 'reclaim', ask);
	for (let left = ms; left > 0; left -= LEASE_MS / 2) {
		world.clock.pass(Math.min(left, LEASE_MS / 2));
		await compare(world, 'reclaim', ask);
	}
}

type Ask = (side: Side) => unknown;

async function compare(world: World, what: string, ask: Ask): Promise<void> {
	const expected = await answer(world.model, ask);
	const actual = await answer(world.real, ask);
	// Usually the answers are equal without conversion, which is slower.
	if (!isDeepStrictEqual(actual, expected)) assert.deepStrictEqual(comparable(actual), comparable(expected), what);
	const {value} = expected;
	if (isCommitted(value)) world.claims.push(...value.claimed.jobs.map(({id, execution}) => ({id, execution, lease: value.claimed.lease})));
}

async function answer(side: Side, ask: Ask): Promise<{value?: unknown; error?: ErrorCode}> {
	try {
		return {value: await ask(side)};
	} catch (error) {
		// Stores may have different messages.
		if (error instanceof FaenaError) return {error: error.code};
		throw error;
	}
}

function isCommitted(value: unknown): value is PlainCommitted {
	return typeof value === 'object' && value !== null && 'claimed' in value;
}

/** The value with all byte arrays and maps in one form. */
function comparable(value: unknown): unknown {
	if (value instanceof Uint8Array) return {bytes: Buffer.from(value).toString('hex')};
	if (value instanceof Map) return comparable([...value]);
	if (Array.isArray(value)) return value.map(comparable);
	// If several parents are lost at once, stores may name another one.
	if (typeof value === 'string') return value.replace(/^It waited for job \d+, .*$/, 'It waited for a job that is lost.');
	if (typeof value !== 'object' || value === null) return value;
	return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, comparable(each)]));
}

/** Reopens the store under test. In the model its owners leave, as they do when a store is closed. */
async function reopen(world: World): Promise<void> {
	if (!world.isDurable) return;
	await world.real.queue.close();
	world.real.queue = new RawQueue(await world.subject.open());
	listen(world.real);
	for (const owner of OWNERS) await world.model.queue.leave(owner);
	world.opened.clear();
}

/** Checks laws that hold after any command. They check the model, too. */
async function checkLaws(world: World, command: Command): Promise<void> {
	const before = new Map(world.jobs.map(job => [job.id, job]));
	world.jobs = await world.model.queue.jobs().page({limit: MAX_JOBS});
	for (const job of world.jobs) {
		const {status, executions, attempts} = before.get(job.id) ?? {
			status: job.status === 'blocked' || job.error?.reason === 'parent' ? 'blocked' : 'pending',
			executions: 0,
			attempts: 0,
		};
		const because = `job ${job.id}: ${status} → ${job.status} by ${command.type}`;
		assert.ok(job.status === status || isLegal(status, job.status, command), because);
		assert.ok(job.executions >= executions, because);
		assert.ok(job.attempts <= job.executions, because);
		// A job that is named anew may have had more attempts than it may make from then on: its next failure is its end.
		assert.ok(job.attempts <= Math.max(job.maxAttempts, attempts + Number(job.executions > 0)), because);
	}
	const counts = await world.model.queue.counts();
	for (const status of STATUSES) assert.equal(counts[status], world.jobs.filter(job => job.status === status).length, `counted ${status}`);
	for (const {name, counts} of await world.real.queue.batches()) {
		for (const status of STATUSES) {
			const recount = world.jobs.filter(job => job.batch === name && job.status === status).length;
			assert.equal(counts[status], recount, `counted ${status} in ${name}`);
		}
	}
}

/** A job is claimed, and completes, only where its scope is served; and it is not claimed before the run that has found it unended has named it. */
function checkIdentity(world: World, command: Command, before: readonly Job[], claimed: readonly Claim[]): void {
	const {claimants, unnamed} = world;
	if (command.type === 'adopt')
		for (const [execution, scopes] of claimants) if (scopes.includes(command.from)) claimants.set(execution, [...scopes, command.to]);
	if (command.type === 'move' && command.to === 'held') noteHeld(unnamed, command, before);
	else if (command.type === 'commit') noteNamed(unnamed, command, before);
	else if (DECIDING.has(command.type)) unnamed.clear();
	if (command.type !== 'commit') return;
	const jobs = new Map(world.jobs.map(job => [job.id, job]));
	for (const {id, execution} of claimed) {
		claimants.set(`${id} ${execution}`, command.claim?.scopes ?? []);
		assert.ok(!unnamed.has(id), `job ${id} was claimed, and no run has named it`);
	}
	const completed = before.filter(({id, status}) => status === 'running' && jobs.get(id)?.status === 'completed');
	for (const {id} of [...claimed, ...completed]) {
		const {scope, executions} = jobs.get(id) as Job;
		const isServed = scope === undefined || claimants.get(`${id} ${executions}`)?.includes(scope);
		assert.ok(isServed, `job ${id} of ${scope} was executed by an engine of another scope`);
	}
}

/** Other filters and pages hold other jobs. */
function noteHeld(unnamed: Set<JobId>, {filter, isHeld, after, upTo}: Command & {type: 'move'}, before: readonly Job[]): void {
	if (isHeld || after > 0 || upTo < MAX_JOBS || !isDeepStrictEqual(filter, {batch: filter.batch})) return;
	for (const {id, batch, status} of before) if (batch === filter.batch && UNENDED.has(status)) unnamed.add(id);
}

function noteNamed(unnamed: Set<JobId>, {enqueue, edit}: CommitCommand, before: readonly Job[]): void {
	// A parked job is not held: who gives it a time decides that it runs.
	for (const {id, status} of before) if (status === 'failed' && edit.some(each => each.id === id)) unnamed.delete(id);
	const keys = enqueue.flatMap(({batch, key, times}) => Array.from({length: times}, (_, index) => `${batch} ${keyAfter(key, index).key}`));
	for (const {id, batch, key} of before) if (keys.includes(`${batch ?? null} ${key}`)) unnamed.delete(id);
}

/** They decide about held jobs, too. */
const DECIDING: ReadonlySet<Command['type']> = new Set<Command['type']>(['retry', 'move', 'deleteBatch', 'cleanup']);

const UNENDED: ReadonlySet<JobStatus> = new Set<JobStatus>(['blocked', 'pending', 'running', 'failed']);

function isLegal(from: JobStatus, to: JobStatus, command: Command): boolean {
	if (command.type === 'retry' || (command.type === 'move' && command.to === 'pending')) return TRANSITIONS[from][to]?.includes('retry') ?? false;
	// A held job is shown as pending. One that waits for others goes on waiting when a command or a name ends its hold.
	const endsHolds = command.type === 'commit' || (command.type === 'move' && command.to === 'unheld');
	if (endsHolds && from === 'pending' && to === 'blocked') return true;
	return reachable(from, command.type === 'commit' && command.enqueue.some(({rerun}) => rerun)).has(to);
}

/** The statuses that one transaction can reach, by one or more transitions. New rounds count only if new jobs may rerun old ones. */
function reachable(start: JobStatus, reruns: boolean): Set<JobStatus> {
	const reached = new Set([start]);
	for (const from of reached) {
		for (const [to, cause] of Object.entries(TRANSITIONS[from])) if (reruns || !cause.startsWith('retry')) reached.add(to as JobStatus);
	}
	return reached;
}

async function compareAll(world: World): Promise<void> {
	const asks: Record<string, Ask> = {
		jobs: ({queue}) => queue.jobs().page({limit: MAX_JOBS}),
		counts: ({queue}) => queue.counts(),
		paused: async ({queue}) => [...(await queue.paused())].sort(),
		'counts by state': async ({queue}) => byTask(await queue.store.counts()),
		schedules: ({queue}) => queue.store.schedules(),
		batches: async ({queue}) => (await queue.batches()).map(({id: _, ...batch}) => batch),
		completed: ({completed}) => completed,
		commit: ({queue}) => commitPlain(queue.store, {}),
	};
	for (const task of TASKS) asks[`counts of ${task}`] = ({queue}) => queue.counts({task});
	for (const task of TASKS) asks[`keys of ${task}`] = ({queue}) => queue.store.holders({task}, KEYS);
	for (const name of world.real.batches.keys())
		asks[`keys of ${name}`] = ({queue, batches}) => queue.store.holders({task: 'hash', batch: batches.get(name)}, [...KEYS, '2', '5']);
	for (const {id} of await world.model.queue.jobs().page({limit: MAX_JOBS})) {
		asks[`values of job ${id}`] = ({queue}) => queue.values(id);
		asks[`logs of job ${id}`] = ({queue}) => queue.logs(id);
		asks[`history of job ${id}`] = ({queue}) => queue.history(id);
	}
	for (const [what, ask] of Object.entries(asks)) await compare(world, `${what} at the end`, ask);
	await poll(world);
}

/** A store may know of tasks that have no jobs. */
function byTask(counts: readonly TaskCounts[]): TaskCounts[] {
	const isKnown = ({task: _, scope, isPaused, ...jobs}: TaskCounts) => (isPaused && scope === undefined) || Object.values(jobs).some(count => count > 0);
	const nameOf = ({task, scope = ''}: TaskCounts) => `${task} ${scope}`;
	return counts.filter(isKnown).sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
}

// Commands

type Command =
	| CommitCommand
	| {readonly type: 'cancel' | 'retry'; readonly filter: JobFilter}
	| {readonly type: 'discard'; readonly ids: readonly number[]; readonly stop: boolean}
	| ({readonly type: 'move'; readonly filter: JobFilter; readonly to: MoveTarget} & Required<Omit<MovePage, 'owner'>>)
	| {readonly type: 'pause' | 'resume'; readonly tasks: readonly string[]}
	| {readonly type: 'adopt'; readonly from: string; readonly to: string}
	| {readonly type: 'heartbeat' | 'leave'; readonly owner: string}
	| {readonly type: 'reclaim'}
	/** Lets the listeners poll. */
	| {readonly type: 'poll'}
	/** A worker of the owner opens jobs of a lease. The outcomes of the first `final` jobs are final. */
	| {readonly type: 'open'; readonly owner: string; readonly of: Picked; readonly final: number}
	| {readonly type: 'release'; readonly owner: string; readonly after: number}
	/** Reclaims twice per lease for this time: about the time after which owners without a heartbeat are silent. */
	| {readonly type: 'outlast'; readonly ms: number}
	| {readonly type: 'reopen'}
	/** By ids, by one age, or by ages of two statuses and of a task. */
	| {
			readonly type: 'cleanup';
			readonly ages: readonly [completed: number, cancelled: number, ofTask: number] | null;
			readonly age: number;
			readonly ids: readonly JobId[] | null;
			readonly limit: number;
			readonly after: number;
	  }
	| {
			readonly type: 'openBatch';
			readonly name: string;
			readonly task: string;
			readonly owner: string;
			readonly onComplete: string | null;
			readonly renewal?: string;
	  }
	| {readonly type: 'openFlow'; readonly owner: string; readonly structure: string}
	| {readonly type: 'sealFlow'; readonly owner: string; readonly total: number}
	| {readonly type: 'schedule'; readonly name: string; readonly change: SchedulePlan}
	| {readonly type: 'endInput'; readonly name: string; readonly total: number; readonly owner: string}
	| {readonly type: 'deleteBatch'; readonly name: string; readonly limit: number}
	| {readonly type: 'closeBatch' | 'leaveBatch'; readonly name: string; readonly owner: string; readonly isDone?: boolean}
	| {readonly type: 'jobs'; readonly search: JobSearch; readonly after: number; readonly limit: number}
	| {readonly type: 'countJobs'; readonly search: JobSearch}
	| {readonly type: 'counts'; readonly task: string}
	| {readonly type: 'job' | 'values'; readonly id: number}
	| {readonly type: 'outcomes'; readonly ids: readonly number[]}
	| {readonly type: 'batch'; readonly name: string}
	| {readonly type: 'advance'; readonly ms: number}
	/** Moves the wall clock alone, as a user or a sleep does. */
	| {readonly type: 'set'; readonly ms: number};

interface CommitCommand {
	readonly type: 'commit';
	readonly settle: readonly {
		readonly of: Picked;
		readonly outcome: Outcome;
		readonly worker?: string;
		readonly code?: string;
		readonly children: readonly JobPlan[];
	}[];
	readonly update: readonly {readonly of: Picked; readonly done: number | null; readonly lines: number; readonly state: Encoded | undefined}[];
	readonly edit: readonly (Omit<JobEdit, 'runAt' | 'delayMs'> & {readonly inMs?: number | null})[];
	readonly enqueue: readonly (JobPlan & {readonly times: number})[];
	/** The indexes at which groups are cut for the store, one bit each. For the model each job is a group. */
	readonly cuts: number;
	readonly rejectConflicts: boolean;
	readonly claim: {
		readonly owner: string;
		readonly limits: Readonly<Record<string, number>>;
		readonly scopes: readonly string[];
		readonly isQuarantined: boolean;
		readonly concurrency: number | null;
		readonly limit: number;
		readonly maxBytes: number;
	} | null;
}

/** An earlier claim. */
interface Picked {
	/** True for a claim that is valid, if there is one; false for any claim. */
	readonly holds: boolean;
	/** Counted from the last claim. */
	readonly nthLast: number;
	/** The number of the next claims of its lease to take, too. */
	readonly others: number;
	/** Differences that make the claim invalid. */
	readonly forged: Partial<Claim>;
}

/** A change of a schedule, whose times are counted from the moment of the command. */
type SchedulePlan =
	| {readonly type: 'set'; readonly spec: ScheduleSpec; readonly inMs: number}
	| {readonly type: 'pause' | 'delete' | 'run'}
	/** `isNext` for one who knows the next moment. */
	| {readonly type: 'resume'; readonly isNext: boolean; readonly inMs: number}
	| {readonly type: 'advance'; readonly isNext: boolean; readonly moments: number; readonly inMs: number | null};

/** An even delay becomes `delayMs`, an odd one `runAt`. */
type JobPlan = Omit<PlainJob, 'runAt' | 'delayMs' | 'batch' | 'parents'> & {
	readonly delayMs: number | null;
	readonly batch: string | null;
	/** Counted from the last job; -1 for one that does not exist. */
	readonly after: {readonly nthLast: readonly number[]; readonly onParentDead: OnParentDead} | null;
	/** Waits for the end of the input, if its batch is the flow. */
	readonly isHeld: boolean;
};

type AskedCommand = Exclude<Command, {type: 'advance' | 'set' | 'reopen' | 'outlast' | 'poll'}>;

function toAsk(command: AskedCommand, world: World): Ask {
	switch (command.type) {
		case 'commit':
			return side => {
				const isCut = side === world.model ? () => true : (index: number) => ((command.cuts >> (index % 16)) & 1) === 1;
				return commitPlain(side.queue.store, toChanges(command, world, side.batches), isCut);
			};
		case 'cancel':
		case 'retry':
			return ({queue}) => queue[command.type](command.filter);
		case 'discard':
			return ({queue}) => queue.discard(command.ids, {stop: command.stop});
		case 'move':
			return ({queue}) => moveOn(queue, command);
		case 'pause':
		case 'resume':
			return ({queue}) => queue[command.type](command.tasks);
		case 'heartbeat':
		case 'leave':
			return ({queue}) => queue[command.type](command.owner);
		case 'release':
			return ({queue}) => queue.release(command.owner, command.after);
		case 'open':
			return ({queue}) => openJobs(queue, command, world);
		case 'adopt':
			// Whether a store knows a scope of which it has no jobs is its own affair.
			return async ({queue}) => void (await queue.adopt(command.from, command.to));
		case 'reclaim':
			return ({queue}) => queue.reclaim();
		case 'cleanup':
			return ({queue}) => cleanUp(queue, command, toDeletion(command, world.clock.now()));
		case 'openBatch':
			return async ({queue, batches}) => {
				const {name, task, owner, onComplete, renewal} = command;
				const options = onComplete === null ? {} : {onComplete: {task: onComplete, priority: 1, policy: POLICIES[1] as Policy}};
				batches.set(name, await queue.store.openBatch(name, task, owner, {...options, renewal}));
			};
		case 'openFlow':
			return async ({queue, batches}) => {
				batches.set(FLOW, await queue.store.openBatch(FLOW, undefined, command.owner, {flow: command.structure}));
			};
		case 'sealFlow':
			return async ({queue, batches}) => {
				const batch = batches.get(FLOW);
				return batch !== undefined && queue.store.updateBatch(batch, command.owner, {total: command.total, flowJobs: [[1, 2]]});
			};
		case 'schedule':
			return ({queue}) => changeSchedule(queue, command, world.clock.now());
		case 'endInput':
			return async ({queue, batches}) => {
				const batch = batches.get(command.name);
				return batch !== undefined && queue.endInput(batch, command.total, command.owner);
			};
		case 'deleteBatch':
			return async ({queue, batches}) => {
				const result = await queue.deleteBatch(command.name, command.limit);
				if (result.isGone) batches.delete(command.name);
				return result;
			};
		case 'closeBatch':
		case 'leaveBatch':
			return async ({queue, batches}) => {
				const batch = batches.get(command.name);
				const how = command.type === 'closeBatch' ? ({isClosed: true} as const) : ({isLeft: true, isDone: command.isDone} as const);
				return batch !== undefined && queue.store.updateBatch(batch, command.owner, how);
			};
		case 'jobs':
			return ({queue}) => listOn(queue, command);
		case 'countJobs':
			return ({queue}) => queue.counts(command.search);
		case 'counts':
			return ({queue}) => queue.counts({task: command.task});
		case 'job':
		case 'values':
			return ({queue}) => queue[command.type](command.id);
		case 'outcomes':
			return ({queue}) => queue.outcomes(command.ids);
		case 'batch':
			return async ({queue}) => {
				const {id: _, ...batch} = (await queue.batch(command.name)) ?? {};
				return batch;
			};
	}
}

async function changeSchedule(queue: RawQueue, {name, change}: Command & {type: 'schedule'}, now: number): Promise<unknown> {
	const known = (await queue.store.schedules()).find(schedule => schedule.name === name);
	const {scheduled, momentInMs} = await queue.store.commit({schedule: [toScheduleChange(name, change, now, known)]});
	return {scheduled, momentInMs};
}

function toScheduleChange(name: string, change: SchedulePlan, now: number, known: Schedule | undefined): ScheduleChange {
	const {type} = change;
	if (type === 'set') return {type, name, spec: change.spec, nextAt: now + change.inMs, lastAt: known?.lastAt ?? null};
	if (type === 'resume') return {type, name, at: change.isNext ? (known?.nextAt ?? null) : now, nextAt: now + change.inMs};
	if (type !== 'advance') return {type, name};
	const at = change.isNext ? (known?.nextAt ?? 0) : now;
	const moments = Array.from({length: change.moments}, (_, index) => at + index);
	return {type, name, at, moments, nextAt: change.inMs === null ? null : at + change.inMs, missed: change.moments};
}

/** A page of the list, after the jobs that `after` says. */
async function listOn(queue: RawQueue, {search, after, limit}: Command & {type: 'jobs'}): Promise<readonly Job[]> {
	if ((search.sort ?? 'id') === 'id') return queue.jobs(search).page({after, limit});
	const before = after === 0 ? undefined : (await queue.jobs(search).page({limit: after})).at(-1);
	return queue.jobs(search).page({limit, ...(before && {after: before})});
}

/** Moves all pages, since each store may move a different part of a page at once. */
async function moveOn(queue: RawQueue, {filter, to, ...first}: Command & {type: 'move'}): Promise<unknown> {
	const all: {ids: number[]; asked: number[]} = {ids: [], asked: []};
	const {type: _, ...drawn} = first;
	// Excludes the job of a batch that completes during the moves, since it may be on another page in each store.
	const last = (await queue.jobs().page({limit: 1000})).at(-1)?.id ?? 0;
	const page = {...drawn, upTo: Math.min(drawn.upTo, last)};
	for (let next: MovePage | null = page; next; ) {
		const moved: Moved = await queue.store.move(filter, to, next);
		assert.ok(moved.ids.length + moved.asked.length <= page.limit, 'a page is no larger than its limit');
		all.ids.push(...moved.ids);
		all.asked.push(...moved.asked);
		assert.ok(moved.next === null || (moved.next.after ?? 0) > (next.after ?? 0), 'each page ends after the one before');
		next = moved.next;
	}
	return all;
}

function openJobs(queue: RawQueue, {owner, of, final}: {readonly owner: string; readonly of: Picked; readonly final: number}, world: World): void {
	const claims = claimsAt(of, world);
	const ids = claims.map(({id}) => id);
	if (claims[0]) world.opened.show(queue, owner, claims[0].lease, ids, final);
}

function toDeletion({ages, age, ids}: Command & {type: 'cleanup'}, now: number): EndedDeletion {
	if (ids !== null) return {ids};
	if (ages === null) return {endedBefore: now - age};
	const [completed, cancelled, ofTask] = ages.map(each => now - each) as [number, number, number];
	return {ended: {completed, dead: -Infinity, cancelled, tasks: new Map([['resize', {completed: ofTask, dead: ofTask, cancelled: -Infinity}]])}};
}

/** Cleans up all pages, since each store may look at different rows in a page. */
async function cleanUp(queue: RawQueue, {limit, after}: {readonly limit: number; readonly after: JobId}, what: EndedDeletion): Promise<number> {
	const start = 'ended' in what ? {value: after, id: 0} : after;
	let total = 0;
	for (let next: Place | null = start; next !== null; ) {
		const result: Deleted = await queue.store.delete(what, {limit, after: next});
		total += result.deleted;
		assert.ok(result.next === null || isLater(result.next, next), 'each page ends after the one before');
		next = result.next;
	}
	return total;
}

function isLater(one: Place, other: Place): boolean {
	if (typeof one === 'number' || typeof other === 'number') return Number(one) > Number(other);
	return one.value > other.value || (one.value === other.value && one.id > other.id);
}

function toChanges({settle, update, edit, enqueue, rejectConflicts, claim}: CommitCommand, world: World, batches: ReadonlyMap<string, BatchId>): PlainChanges {
	const now = world.clock.now();
	const toNewJob = ({delayMs, batch, after, isHeld, ...job}: JobPlan): PlainJob => {
		const id = batch === null ? undefined : batches.get(batch);
		const isDelay = delayMs !== null && delayMs % 2 === 0 && delayMs >= 0;
		const time = isDelay ? {runAt: null, delayMs} : {runAt: delayMs === null ? null : now + delayMs};
		const parents = after && withoutItself(toParents(after, world), {...job, batch: id === undefined ? null : batch}, world);
		return {...job, ...time, ...(id !== undefined && {batch: id}), ...parentsOf(parents, isHeld && batch === FLOW && id !== undefined)};
	};
	return {
		settle: settle.flatMap(({of, outcome, worker, code, children}) => {
			const made = children.map(({rerun: _, maxPending: __, fingerprint: ___, isOutdated: ____, after, ...plan}, index) => ({
				...toNewJob({...plan, batch: null, after: null}),
				...toChildParents(after, index, world),
			}));
			const {key: _, unique: __, after: ___, ...onDead} = made[0] ?? {};
			const ended = !made[0] ? outcome : outcome.type === 'returned' ? {...outcome, enqueue: made} : 'error' in outcome ? {...outcome, onDead} : outcome;
			return claimsAt(of, world).map(claim => ({...claim, outcome: ended as Outcome, worker, ...(code !== undefined && {code})}));
		}),
		update: update.flatMap(({of, done, lines, state}) => {
			const progress = done === null ? {} : {progress: {done, at: now, ...(done > 1 && {total: 4})}};
			const logs = Array.from({length: lines}, (_, index) => ({at: now + index, level: LEVELS[index % 4] ?? 'info', text: `line ${index}`}));
			const checkpoint = state === undefined ? {} : {checkpoint: {at: now, state}};
			const start = lines === 2 ? {startedAt: now - 3} : {};
			return claimsAt(of, world).map(claim => ({...claim, ...start, ...progress, ...checkpoint, logs}));
		}),
		...(edit.length > 0 && {edit: edit.map(each => toEdit(each, now))}),
		enqueue: enqueue.flatMap(({times, key, ...plan}) => Array.from({length: times}, (_, index) => toNewJob({...plan, ...keyAfter(key, index)}))),
		rejectConflicts,
		...(claim && {claim: toRequest(claim)}),
	};
}

function parentsOf(parents: Parents | null, areHeld: boolean): {readonly parents?: Parents} {
	if (parents) return {parents: {...parents, areHeld}};
	return areHeld ? {parents: {edges: [], onParentDead: 'cancel', areHeld}} : {};
}

/** Half of them are jobs that the same execution has enqueued before. */
function toChildParents(after: JobPlan['after'], index: number, {jobs}: World): Pick<ChildJob, 'after' | 'onParentDead'> {
	if (!after) return {};
	const idAt = (nth: number) => (nth < 0 ? undefined : jobs[jobs.length - 1 - (nth % Math.max(1, jobs.length))]?.id) ?? 999_999;
	const parents = after.nthLast.map(nth => (nth >= 0 && index > 0 && nth % 2 === 0 ? {index: nth % index} : idAt(nth)));
	return {after: parents, onParentDead: after.onParentDead};
}

function toParents(
	{nthLast, onParentDead}: NonNullable<JobPlan['after']>,
	{jobs}: World,
): {readonly ids: readonly number[]; readonly onParentDead: OnParentDead} {
	const idAt = (nth: number) => (nth < 0 ? undefined : jobs[jobs.length - 1 - (nth % Math.max(1, jobs.length))]?.id) ?? 999_999;
	return {ids: nthLast.map(idAt), onParentDead};
}

/**
 * No job waits for the one that has its key and that it may run again, nor for one that may come back since a job of its group is run again: whether these
 * had been dead, each store may answer in its own way.
 */
function withoutItself(
	{ids: all, onParentDead}: ReturnType<typeof toParents>,
	{task, batch, key, rerun}: Pick<JobPlan, 'task' | 'batch' | 'key' | 'rerun'>,
	{jobs}: World,
): Parents | null {
	const isItself = (job: Job) => key !== undefined && job.key === key && job.task === task && (job.batch ?? null) === batch;
	const mayComeBack = (job: Job) => rerun !== undefined && job.error?.reason === 'parent';
	const ids = all.filter(id => !jobs.some(job => job.id === id && (isItself(job) || mayComeBack(job))));
	return ids.length === 0 ? null : {edges: [{kind: 'all', parents: {ids, count: ids.length}}], onParentDead};
}

/** The keys of the same plan: consecutive numbers, or different texts. */
function keyAfter(key: string | undefined, index: number): Pick<PlainJob, 'key'> {
	if (key === undefined) return {};
	return {key: /^\d+$/.test(key) ? `${Number(key) + index}` : index === 0 ? key : `${key}.${index}`};
}

/** An even time becomes `delayMs`, an odd one or none `runAt`. */
function toEdit({inMs, ...edit}: CommitCommand['edit'][number], now: number): JobEdit {
	if (inMs === undefined) return edit;
	if (inMs === null) return {...edit, runAt: null};
	return {...edit, ...(inMs % 2 === 0 ? {delayMs: inMs} : {runAt: now + inMs})};
}

function toRequest({owner, limits, scopes, isQuarantined, concurrency, limit, maxBytes}: NonNullable<CommitCommand['claim']>): ClaimRequest {
	const lanes = Object.entries(limits).flatMap(([task, own]) => {
		const lane = {task, limit: own, ...(concurrency !== null && {concurrency})};
		return isQuarantined ? [lane, {...lane, isQuarantined}] : [lane];
	});
	return {owner, lanes, scopes, limit, maxBytes};
}

function claimsAt({holds, nthLast, others, forged}: Picked, {claims, jobs}: World): Claim[] {
	const holding = claims.filter(({id, execution}) => jobs.some(job => job.id === id && job.status === 'running' && job.executions === execution));
	const choice = holds && holding.length > 0 ? holding : claims;
	const claim = choice[choice.length - 1 - (nthLast % choice.length)];
	if (!claim) return [];
	const following = claims.filter(({id, lease}) => lease === claim.lease && id > claim.id && id <= claim.id + others);
	return [claim, ...following].map(({id, lease, execution}) => ({
		id: id + (forged.id ?? 0),
		lease: lease + (forged.lease ?? 0),
		execution: execution + (forged.execution ?? 0),
	}));
}

// The parts of commands: few names and small numbers, so that commands concern the same jobs.

const TASKS = ['hash', 'resize', 'parse'];
const SCOPES = ['app/tasks', 'app/tasks in /a'];
const OWNERS = ['owner-1', 'owner-2', 'owner-3'];
const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
const FLOW = 'report';
const MAPS = ['nightly', 'weekly'];
const BATCHES = [...MAPS, FLOW];
const SCHEDULES = ['daily', 'hourly'];

const KEYS = ['k1', 'k2', '', '0', '1', '4'];

const POLICIES: readonly Policy[] = [
	{maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 10, factor: 2, maxMs: 60, jitter: 0.5}, retry: 'auto'},
	{maxAttempts: 2, maxDelays: 1, timeoutMs: 500, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}, retry: 'auto'},
	{...forPolicyNumbers((_, {least}) => least), timeoutMs: null, backoff: {baseMs: 10, factor: 1, maxMs: 10, jitter: 1}, retry: 'auto'},
	{maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 10, factor: 1, maxMs: 10, jitter: 0}, retry: 'manual'},
];

const PAYLOADS = ['1', '2', '{"a":1,"b":2}', '{"b":2,"a":1}', '"ä😀"', new Uint8Array([1, 7, 0]), new Uint8Array([1, 7, 1]), null];

/** Ages at which ended jobs are deleted: at once, a millisecond later, or never. */
const end = fc.constantFrom(-1, 0, 1e9);
const task = fc.constantFrom(...TASKS);
const owner = fc.constantFrom(...OWNERS);
const payload = fc.constantFrom(...PAYLOADS);

const picked: fc.Arbitrary<Picked> = fc.record({
	holds: weighted([5, fc.constant(true)], [1, fc.constant(false)]),
	nthLast: fc.nat(12),
	others: fc.constantFrom(0, 0, 0, 2, 5),
	forged: weighted([12, fc.constant({})], [1, fc.constantFrom({id: 1}, {lease: 1}, {lease: -1}, {execution: 1}, {execution: -1})]),
});

const timing = weighted(
	[1, fc.constant({})],
	[3, fc.record({startedAt: fc.constantFrom(T0 + 3, T0 + 4, T0 + 7), durationMs: fc.constantFrom(0, 2.5, 40, 1000)})],
);
const failure: fc.Arbitrary<FailureRecord> = fc.constantFrom(
	{reason: 'threw', name: 'Error', message: 'ä "quoted"', stack: 'Error: ä\n    at hash', code: 'E_HASH', causes: [{name: 'Thrown', message: '5', code: 5}]},
	{reason: 'lostWorker', name: 'LostWorker', message: '', exitCode: 139},
	{reason: 'threw', name: 'PermanentError', message: 'no', retry: 'never', builtIn: 'TypeError', fields: {at: new Date(0)}},
	{reason: 'threw', name: 'RetryAfter', message: 'later', retry: {afterMs: 25}, causes: [{name: 'Error', message: 'a', fields: {bytes: new Uint8Array(2)}}]},
);

const outcome = weighted<Outcome>(
	[3, fc.tuple(timing, payload).map(([timing, value]) => ({...timing, type: 'returned', value}) as const)],
	[4, fc.tuple(timing, fc.constantFrom('threw', 'timedOut', 'lostWorker'), failure).map(([timing, type, error]) => ({...timing, type, error}))],
	[1, fc.tuple(timing, fc.option(failure)).map(([timing, error]) => ({...timing, type: 'cancelled', ...(error && {error})}) as const)],
	[2, fc.constantFrom<Outcome>({type: 'released'}, {type: 'released', suspicion: 1}, {type: 'released', suspicion: 9})],
);

const plan: fc.Arbitrary<JobPlan> = fc
	.record({
		task,
		scope: weighted([2, fc.constant(undefined)], [1, fc.constantFrom(...SCOPES)]),
		payload,
		priority: fc.integer({min: -1, max: 2}),
		delayMs: weighted([3, fc.constant(null)], [1, fc.integer({min: -5, max: 40})]),
		policy: fc.constantFrom(...POLICIES),
		key: fc.option(fc.constantFrom(...KEYS), {freq: 3}),
		batch: fc.option(fc.constantFrom(...BATCHES), {freq: 2}),
		expiresMs: weighted([3, fc.constant(undefined)], [1, fc.integer({min: 1, max: 60})]),
		unique: weighted([3, fc.constant(undefined)], [1, fc.constant('unended' as const)]),
		after: weighted(
			[2, fc.constant(null)],
			[
				1,
				fc.record({
					nthLast: fc.array(fc.integer({min: -1, max: 8}), {minLength: 1, maxLength: 3}),
					onParentDead: fc.constantFrom('cancel' as const, 'run' as const),
				}),
			],
		),
		isHeld: fc.boolean(),
		rerun: weighted([4, fc.constant(null)], [1, fc.record({changed: fc.boolean(), failed: fc.boolean()})]),
		maxPending: weighted([4, fc.constant(null)], [1, fc.record({task: fc.integer({min: 1, max: 4}), all: fc.integer({min: 1, max: 8})}, {requiredKeys: []})]),
		fingerprint: weighted([3, fc.constant(undefined)], [1, fc.constantFrom('one ', 'two a b', `two ${'x'.repeat(300)}`)]),
		isOutdated: weighted([4, fc.constant(false)], [1, fc.constant(true)]),
	})
	// In a batch a key names an item, which has one job.
	.map(({key, rerun, maxPending, unique, fingerprint, isOutdated, ...job}) => ({
		...job,
		...(fingerprint !== undefined && {fingerprint}),
		...(isOutdated && {isOutdated}),
		unique: job.batch === null ? unique : undefined,
		...(key !== null && {key}),
		...(rerun && {rerun}),
		...(maxPending && {maxPending}),
	}));

const request = fc.record({
	owner,
	limits: weighted([1, fc.dictionary(task, fc.nat(4), {maxKeys: 3, noNullPrototype: true})], [2, fc.constant({hash: 3, resize: 2, parse: 4})]),
	scopes: fc.subarray(SCOPES),
	isQuarantined: fc.boolean(),
	concurrency: fc.option(fc.integer({min: 1, max: 3}), {freq: 2}),
	limit: fc.nat(8),
	maxBytes: weighted([3, fc.constant(MAX_JOBS)], [1, fc.nat(12)]),
});

const update: fc.Arbitrary<CommitCommand['update'][number]> = fc.record({
	of: picked,
	done: fc.option(fc.constantFrom(0, 1, 2.5)),
	lines: weighted([5, fc.nat(2)], [1, fc.constant(150)]),
	state: fc.option(payload, {nil: undefined}),
});

const commit: fc.Arbitrary<CommitCommand> = fc.record({
	type: fc.constant('commit'),
	settle: fc.array(
		fc.record({
			of: picked,
			outcome,
			worker: fc.constantFrom('thread 1', 'thread 2'),
			code: fc.constantFrom('one', 'three'),
			children: weighted<readonly JobPlan[]>([2, fc.constant([])], [1, fc.array(plan, {maxLength: 3})]),
		}),
		{
			maxLength: 4,
		},
	),
	update: fc.array(update, {maxLength: 2}),
	edit: fc.array(
		fc.record(
			{id: fc.integer({min: 1, max: 25}), payload, priority: fc.integer({min: -1, max: 2}), inMs: fc.option(fc.integer({min: 0, max: 40}))},
			{requiredKeys: ['id'], noNullPrototype: true},
		),
		{maxLength: 3},
	),
	enqueue: fc.array(
		fc.tuple(plan, fc.constantFrom(1, 1, 3)).map(([plan, times]) => ({...plan, times})),
		{maxLength: 6},
	),
	cuts: fc.oneof(fc.constantFrom(0, 0xffff), fc.nat(0xffff)),
	rejectConflicts: fc.boolean(),
	claim: fc.option(request, {freq: 3}),
});

const status: fc.Arbitrary<JobStatus> = fc.constantFrom(...STATUSES);
const ids = fc.array(fc.integer({min: 1, max: 25}), {maxLength: 4});
const filter: fc.Arbitrary<JobFilter> = fc.oneof(
	fc.constantFrom({}, {stale: true}),
	fc.record({ids, status: fc.array(status, {maxLength: 3})}, {requiredKeys: [], noNullPrototype: true}),
	fc.record({ids, task, status, batch: fc.constantFrom(...BATCHES)}, {requiredKeys: [], noNullPrototype: true}),
	fc.record({task, key: fc.constantFrom('k1', 'k2', '1', '5'), batch: fc.constantFrom(...BATCHES)}, {requiredKeys: ['task', 'key'], noNullPrototype: true}),
);

const time = fc.constantFrom(T0, T0 + 3, T0 + 5, T0 + 1000, T0 + 5000);
const search: fc.Arbitrary<JobSearch> = fc
	.tuple(filter, fc.record({sort: fc.constantFrom(...SORTS), since: time, until: time}, {requiredKeys: [], noNullPrototype: true}))
	.map(([filter, {since, until, ...order}]) => ({...filter, ...order, ...inOrder(since, until)}));
const timed: fc.Arbitrary<JobFilter> = weighted<JobFilter>([2, filter], [1, search.map(({sort: _, ...others}) => others)]);

function inOrder(since: number | undefined, until: number | undefined): Pick<JobFilter, 'since' | 'until'> {
	const [from, to] = since !== undefined && until !== undefined && since > until ? [until, since] : [since, until];
	return {...(from !== undefined && {since: from}), ...(to !== undefined && {until: to})};
}

const spec: fc.Arbitrary<ScheduleSpec> = fc.record({
	timing: fc.constantFrom({everyMs: 20, from: 'clock'} as const, {everyMs: 20, from: 'end'} as const, {cron: '0 2 * * *', timezone: 'UTC'}),
	catchUp: fc.constantFrom('none', 'one', 'all'),
	overlap: fc.constantFrom('skip', 'queue'),
	jitterMs: fc.constantFrom(0, 0, 15),
	until: fc.constantFrom(null, null, T0 + 60),
	expiresMs: fc.constantFrom(null, null, 30),
	task,
	payload,
	priority: fc.integer({min: -1, max: 1}),
	policy: fc.constantFrom(...POLICIES),
});
const inMs = fc.integer({min: -5, max: 30});
const isNext = weighted([4, fc.constant(true)], [1, fc.constant(false)]);
const scheduleChange: fc.Arbitrary<SchedulePlan> = weighted<SchedulePlan>(
	[3, fc.record({type: fc.constant('set'), spec, inMs})],
	[1, fc.record({type: fc.constantFrom('pause', 'delete', 'run')})],
	[1, fc.record({type: fc.constant('resume'), isNext, inMs})],
	[
		4,
		fc.record({
			type: fc.constant('advance'),
			isNext,
			moments: fc.nat(3),
			inMs: fc.option(inMs, {nil: null}),
		}),
	],
);

const command: fc.Arbitrary<Command> = weighted<Command>(
	[14, commit],
	[
		4,
		fc.record({
			type: fc.constant('advance'),
			ms: weighted([3, fc.nat(20)], [3, fc.integer({min: LEASE_MS - 1, max: LEASE_MS + 1})], [1, fc.constant(MARK_EVERY_MS)]),
		}),
	],
	[1, fc.record({type: fc.constant('set'), ms: fc.oneof(fc.integer({min: -60, max: 60}), fc.constantFrom(-86_400_000, 3_600_000))})],
	[3, fc.record({type: fc.constantFrom('cancel', 'retry'), filter: timed})],
	[1, fc.record({type: fc.constant('discard'), ids, stop: fc.boolean()})],
	[
		3,
		fc
			.record({
				type: fc.constant('move'),
				filter: timed,
				to: fc.constantFrom<MoveTarget>('cancelled', 'pending', 'discarded', 'held', 'unheld'),
				isHeld: weighted([3, fc.constant(false)], [1, fc.constant(true)]),
				after: fc.nat(3),
				upTo: fc.integer({min: 1, max: 30}),
				limit: fc.integer({min: 1, max: 6}),
				stop: fc.boolean(),
			})
			// Only a run of a batch holds jobs.
			.map(move => (move.to === 'held' ? {...move, filter: {batch: 'nightly', ...move.filter}} : move)),
	],
	[2, fc.record({type: fc.constantFrom('pause', 'resume'), tasks: fc.subarray(TASKS)})],
	[1, fc.record({type: fc.constant('adopt'), from: fc.constantFrom(...SCOPES), to: fc.constantFrom(...SCOPES, 'other')})],
	[2, fc.record({type: fc.constantFrom('heartbeat', 'leave'), owner})],
	[1, fc.record({type: fc.constant('reclaim')})],
	[1, fc.record({type: fc.constant('poll')})],
	[2, fc.record({type: fc.constant('open'), owner, of: picked, final: fc.nat(2)})],
	[1, fc.record({type: fc.constant('release'), owner, after: fc.nat(5)})],
	[2, fc.record({type: fc.constant('outlast'), ms: fc.integer({min: LEASE_MS - 1, max: LEASE_MS + 1})})],
	[1, fc.record({type: fc.constant('reopen')})],
	[
		2,
		fc.record({
			type: fc.constant('cleanup'),
			age: fc.integer({min: -1, max: 40}),
			ages: fc.option(fc.tuple(end, end, end), {nil: null, freq: 2}),
			ids: fc.option(ids, {nil: null, freq: 2}),
			limit: fc.integer({min: 1, max: 10}),
			after: fc.nat(5),
		}),
	],
	[
		2,
		fc.record({
			...{type: fc.constant('openBatch'), name: fc.constantFrom(...MAPS), task, owner, onComplete: fc.option(task, {nil: null})},
			renewal: fc.constantFrom('first', 'second'),
		}),
	],
	[2, fc.record({type: fc.constant('openFlow'), owner, structure: fc.constantFrom('one', 'two')})],
	[1, fc.record({type: fc.constant('sealFlow'), owner, total: fc.nat(3)})],
	[3, fc.record({type: fc.constant('schedule'), name: fc.constantFrom(...SCHEDULES), change: scheduleChange})],
	[2, fc.record({type: fc.constant('endInput'), name: fc.constantFrom(...MAPS), total: fc.nat(3), owner})],
	[1, fc.record({type: fc.constant('deleteBatch'), name: fc.constantFrom(...BATCHES), limit: fc.integer({min: 1, max: 6})})],
	[2, fc.record({type: fc.constantFrom('closeBatch', 'leaveBatch'), name: fc.constantFrom(...BATCHES), owner, isDone: fc.boolean()})],
	[4, fc.record({type: fc.constant('jobs'), search, after: fc.nat(3), limit: fc.integer({min: 1, max: 10})})],
	[1, fc.record({type: fc.constant('countJobs'), search})],
	[1, fc.record({type: fc.constant('counts'), task})],
	[1, fc.record({type: fc.constantFrom('job', 'values'), id: fc.integer({min: 1, max: 25})})],
	[1, fc.record({type: fc.constant('outcomes'), ids})],
	[1, fc.record({type: fc.constant('batch'), name: fc.constantFrom(...BATCHES)})],
);

/** Runs of a batch: each begins, holds what it finds unended, names some items, while engines work, and ends, is left or dies. */
const run: fc.Arbitrary<readonly Command[]> = fc
	.record({
		name: fc.constantFrom(...MAPS),
		task: fc.constantFrom('hash', 'resize'),
		owner,
		scope: fc.constantFrom(undefined, ...SCOPES),
		payload: fc.constantFrom('1', '2'),
		policy: fc.constantFrom(...POLICIES),
		rerun: fc.constantFrom(undefined, {changed: true, failed: true}),
		keys: fc.subarray(KEYS, {minLength: 1}),
		claim: request,
		works: fc.array(commit, {maxLength: 2}),
		missing: fc.constantFrom<MoveTarget | 'stay'>('stay', 'unheld', 'cancelled', 'discarded'),
		end: fc.constantFrom('ends', 'isLeft', 'dies', 'goesOn'),
	})
	.map(({name, task, owner, scope, payload, policy, rerun, keys, claim, works, missing, end}) => {
		const all = {after: 0, upTo: MAX_JOBS, limit: 100, stop: false} as const;
		const base = {
			task,
			payload,
			policy,
			priority: 0,
			delayMs: null,
			batch: name,
			after: null,
			isHeld: false,
			times: 1,
			...(scope && {scope}),
			...(rerun && {rerun}),
		};
		const names: CommitCommand = {
			...{type: 'commit', settle: [], update: [], edit: [], cuts: 0, rejectConflicts: false, claim: {...claim, concurrency: null, limit: 8}},
			enqueue: keys.map(key => ({...base, key})),
		};
		const decides: readonly Command[] = missing === 'stay' ? [] : [{type: 'move', filter: {batch: name}, to: missing, isHeld: true, ...all}];
		const ends: Readonly<Record<typeof end, readonly Command[]>> = {
			ends: [...decides, {type: 'endInput', name, total: keys.length, owner}, {type: 'closeBatch', name, owner}],
			isLeft: [{type: 'leaveBatch', name, owner}],
			dies: [{type: 'leave', owner}],
			goesOn: [],
		};
		const begins: readonly Command[] = [
			{type: 'openBatch', name, task, owner, onComplete: null},
			{type: 'move', filter: {batch: name}, to: 'held', isHeld: false, ...all},
		];
		return [...begins, names, ...works, ...ends[end]];
	});

/** Two of them at once: whose next command comes is drawn. */
const runsAtOnce = fc.tuple(run, run, fc.array(fc.boolean(), {minLength: 12, maxLength: 12})).map(([one, other, turns]) => {
	const left: readonly [Command[], Command[]] = [[...one], [...other]];
	return [...turns.flatMap(isFirst => left[isFirst ? 0 : 1].splice(0, 1)), ...left.flat()];
});

const part: fc.Arbitrary<readonly Command[]> = weighted([30, command.map(each => [each])], [1, run], [1, runsAtOnce]);

function weighted<T>(...choices: readonly (readonly [weight: number, arbitrary: fc.Arbitrary<T>])[]): fc.Arbitrary<T> {
	return fc.oneof(...choices.map(([weight, arbitrary]) => ({weight, arbitrary})));
}

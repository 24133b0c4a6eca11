import {type NewGroup, sizeOf} from '../../lib/job/groups/group.ts';
import {pack} from '../../lib/job/groups/packed.ts';
import {newJobsOf} from '../../lib/job/groups/single-jobs.ts';
import type {ChildJob, NewJob, Rerun} from '../../lib/job/new-job.ts';
import type {Parents} from '../../lib/job/parents.ts';
import {forPolicyNumbers, type Policy} from '../../lib/job/policy.ts';
import type {ScheduleSpec} from '../../lib/job/schedule.ts';
import type {JobFilter} from '../../lib/job/search.ts';
import type {TaskInfo} from '../../lib/job/task/task.ts';
import type {EnqueueCall} from '../../lib/transport/messages.ts';
import type {Chance} from './chance.ts';
import type {Execution} from './executions.ts';
import type {Result} from './workers.ts';

/** The tasks of the simulated world: plain ones, one of which few may run at a time, one that takes them by the batch. */
export const TASKS: readonly TaskInfo[] = [
	{name: 'plain', options: {}},
	{name: 'other', options: {}},
	{name: 'few', options: {concurrency: 2}},
	{name: 'many', options: {batchSize: 3}},
];

const BACKOFF = {baseMs: 20, factor: 3, maxMs: 2000, jitter: 0.5};
const POLICIES: readonly Policy[] = [
	{maxAttempts: 3, timeoutMs: null, backoff: BACKOFF, retry: 'auto'},
	{maxAttempts: 5, maxDelays: 1, timeoutMs: 300, backoff: {...BACKOFF, jitter: 0}, retry: 'auto'},
	{...forPolicyNumbers((_, {least}) => least), maxAttempts: 2, timeoutMs: 100, backoff: BACKOFF, retry: 'auto'},
	{maxAttempts: 2, timeoutMs: null, backoff: BACKOFF, retry: 'manual'},
];

const KEYS = Array.from({length: 40}, (_, index) => `k${index}`);
export const BATCHES = ['morning', 'evening', 'night'] as const;

/** What one execution does. */
export interface Plan {
	readonly durationMs: number;
	readonly heedsStops: boolean;
	/** Takes its worker along at its end. */
	readonly dies: boolean;
	readonly notes: readonly {readonly done: number; readonly state: string}[];
	readonly result: (execution: Execution) => Result;
}

export function planExecution(chance: Chance, isCalm: boolean): Plan {
	const kind = chance.weighted({short: 60, usual: 30, long: 6, endless: 1});
	const durationMs = {short: chance.ms(3), usual: chance.ms(150), long: chance.ms(1500), endless: 4000}[kind];
	return {
		durationMs,
		heedsStops: chance.is(0.5),
		dies: chance.is(0.03),
		notes: chance.is(0.1) ? [{done: chance.int(100), state: `"state ${chance.int(1000)}"`}] : [],
		result: ({id, execution}) => {
			if (chance.is(0.15)) {
				const decision = chance.weighted({none: 8, never: 1, later: 1});
				const retry = {none: {}, never: {retry: 'never'}, later: {retry: {afterMs: 200}}} as const;
				return {type: 'threw', error: {reason: 'threw', name: 'Error', message: 'The dice said so.', ...retry[decision]}};
			}
			const enqueue = !isCalm && chance.is(0.04) ? [planMade(chance)] : [];
			return {type: 'returned', value: `"${id}.${execution}.${chance.int(1e6)}"`, enqueue};
		},
	};
}

function planMade(chance: Chance): ChildJob {
	const [{batch: _, rerun: __, delayMs: ___, ...job}] = [...newJobsOf(planEnqueue(chance, 0, undefined).group)] as [NewJob];
	return {...job, runAt: null};
}

/** @param now on the wall clock */
export function planEnqueue(chance: Chance, now: number, batch: number | undefined): EnqueueCall {
	const hasKeys = chance.is(batch === undefined ? 0.2 : 0.5);
	const jobs = chance.is(0.05) ? 40 : 1 + chance.int(4);
	const keys = hasKeys ? Array.from({length: jobs}, () => chance.pick(KEYS)) : undefined;
	const rerun: Rerun | undefined = hasKeys && chance.is(0.4) ? {changed: chance.is(0.5), failed: chance.is(0.5)} : undefined;
	const group: NewGroup = {
		task: chance.pick(TASKS).name,
		values: pack(Array.from({length: jobs}, (_, index) => (keys ? `"${keys[index]}.${chance.is(0.9) ? 0 : 1}"` : `"${chance.int(1e9)}"`))),
		...(keys && {keys: pack(keys)}),
		...(batch !== undefined && {batch}),
		...(rerun && {rerun}),
		priority: chance.is(0.2) ? chance.int(3) : 0,
		...planStart(chance, now),
		policy: chance.pick(POLICIES),
	};
	return {type: 'enqueue', group, watch: chance.is(0.5)};
}

/** Jobs that wait for some of these: all of them for all, or the first for the first, and so on. */
export function planWaiting(chance: Chance, now: number, ids: readonly number[]): EnqueueCall {
	const body = planEnqueue(chance, now, undefined);
	const {keys: _, rerun: __, ...group} = body.group;
	const recent = ids.slice(-30);
	const parents = Array.from({length: 1 + chance.int(3)}, () => chance.pick(recent));
	const isEach = chance.is(0.2) && sizeOf(group) >= parents.length;
	const edges = [{kind: isEach ? 'each' : 'all', parents: {ids: parents, count: parents.length}}] as const;
	return {...body, group: {...group, parents: {edges, onParentDead: chance.is(0.3) ? 'run' : 'cancel'}}};
}

/** The jobs of a flow: some that wait for none, as many that each wait for one of those, and one that waits for all of these. */
export function planFlow(chance: Chance, batch: number): {readonly groups: readonly NewGroup[]; readonly jobs: number} {
	const jobs = 1 + chance.int(5);
	const part = (size: number, edges: Parents['edges']): NewGroup => ({
		task: chance.pick(TASKS).name,
		values: pack(Array.from({length: size}, () => `"${chance.int(1e9)}"`)),
		batch,
		priority: 0,
		runAt: null,
		policy: chance.pick(POLICIES),
		parents: {edges, onParentDead: chance.is(0.3) ? 'run' : 'cancel', areHeld: edges.length === 0},
	});
	const before = (count: number) => ({groupsBefore: 1, first: 0, count});
	return {groups: [part(jobs, []), part(jobs, [{kind: 'each', parents: before(jobs)}]), part(1, [{kind: 'all', parents: before(jobs)}])], jobs: 2 * jobs + 1};
}

const SCHEDULES = ['hourly', 'often', 'after'] as const;

export function planSchedule(chance: Chance): {readonly name: string; readonly spec: ScheduleSpec} {
	const name = chance.pick(SCHEDULES);
	const everyMs = name === 'hourly' ? 3_600_000 : 1000;
	return {
		name,
		spec: {
			timing: {everyMs, from: name === 'after' ? 'end' : 'clock'},
			catchUp: name === 'hourly' ? 'all' : chance.is(0.5) ? 'one' : 'none',
			overlap: chance.is(0.5) ? 'skip' : 'queue',
			...{jitterMs: 0, until: null, expiresMs: null, priority: 0},
			task: chance.pick(TASKS).name,
			payload: `"${name}"`,
			policy: chance.pick(POLICIES),
		},
	};
}

/** At once, or some time later: told as a moment or as a delay. */
function planStart(chance: Chance, now: number): Pick<NewGroup, 'runAt' | 'delayMs'> {
	if (!chance.is(0.15)) return {runAt: null};
	const delayMs = Math.ceil(chance.ms(chance.is(0.1) ? 3_600_000 : 3000));
	return chance.is(0.5) ? {runAt: null, delayMs} : {runAt: now + delayMs};
}

export function planFilter(chance: Chance, ids: readonly number[], batches: readonly string[]): JobFilter {
	if (chance.is(0.03)) return {task: chance.pick(TASKS).name};
	if (batches.length > 0 && chance.is(0.1)) return {batch: chance.pick(batches)};
	return {ids: Array.from({length: 1 + chance.int(3)}, () => ids[ids.length - 1 - Math.floor(chance.share() ** 2 * ids.length)] ?? 1)};
}

/** What is enqueued when a batch of that name completes. */
export function onCompleteOf(name: string): Pick<NewJob, 'task' | 'priority' | 'policy'> | undefined {
	return name.startsWith('morning') ? {task: 'plain', priority: 1, policy: POLICIES[0] as Policy} : undefined;
}

/** What these jobs return the store refuses. */
export function isRefused(id: number): boolean {
	return id % 13 === 0;
}

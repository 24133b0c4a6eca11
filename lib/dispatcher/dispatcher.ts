/** The station `dispatcher/`: the loop between store and pool. It never runs a task, and never knows how a store keeps a job. */

import {nearest} from '../job/checks.ts';
import type {OwnerId} from '../job/claim.ts';
import type {JobEvent} from '../job/events.ts';
import {toEnvelope, toFailure} from '../job/failure.ts';
import {checkTaskOptions} from '../job/options.ts';
import type {TaskInfo} from '../job/task/task.ts';
import type {Pool, PoolListener} from '../pool/pool.ts';
import type {Store} from '../store/store.ts';
import {type Clock, systemClock, WakeUp} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import {trace} from '../support/trace.ts';
import type {Call, DispatcherMessage, DispatcherStart} from '../transport/messages.ts';
import {Agenda} from './agenda.ts';
import {Calls} from './calls.ts';
import {Clients} from './clients.ts';
import {Committer} from './committer.ts';
import type {Context} from './context.ts';
import {Maintenance} from './maintenance.ts';
import {OpenBatches} from './open-batches.ts';
import {Retentions} from './retention.ts';
import {makeRetries} from './retries.ts';
import {Schedules} from './schedules.ts';

export interface DispatcherOptions extends Partial<Pick<DispatcherStart, 'events' | 'closeOnSignals' | 'retention' | 'only' | 'scopes' | 'waitsForBatch'>> {
	readonly owner: OwnerId;
	readonly leaseMs: number;
	/** Its timers; default: the system's. The time of day is the store's. */
	readonly clock?: Clock;
	readonly output: (message: DispatcherMessage) => void;
}

/** After another process has written, a part of the watched jobs is looked up this often. */
const VERIFY_EVERY_MS = 20;

/** Work beside the commits. If it fails, it is reported, and tried again after a while. */
const CHORES = ['maintenance', 'lookUps', 'batches', 'idle', 'retention', 'schedules'] as const;

/**
 * The loop between store and pool. All that happens, such as a call, an outcome or news of the store, only stores something and wakes the loop.
 * The loop makes one commit: it settles jobs that ended, enqueues jobs that wait, and claims as many as the pool can take. Only after that it
 * starts the claimed jobs and answers the callers. It never runs a task itself.
 *
 * Phases: `running`; `draining` from the first `close` call on: it claims nothing, and releases jobs that have not started; `interrupting`
 * once the time to drain is over: it stops running jobs; `closed`.
 */
export class Dispatcher {
	readonly #context: Context;
	readonly #wakeUp: WakeUp;
	readonly #committer: Committer;
	readonly #maintenance: Maintenance;
	readonly #batches: OpenBatches;
	readonly #calls: Calls;
	readonly #retentions: Retentions;
	/** The tasks whose jobs it runs; `undefined`: all that the pool has. */
	readonly #only: readonly string[] | undefined;
	readonly #schedules: Schedules;
	#phase: 'running' | 'draining' | 'interrupting' | 'closed' = 'running';
	#closeCalls: number[] = [];

	readonly #chores: Readonly<Record<(typeof CHORES)[number], {isDue(): boolean; work(): Promise<unknown>}>> = {
		maintenance: {isDue: () => this.#maintenance.isDue, work: () => this.#maintenance.tick()},
		lookUps: {isDue: () => this.#context.clients.hasLookUps || this.#verifyInMs() <= 0, work: () => this.#lookUp()},
		// While the dispatcher closes, this is not needed: the end of the owner frees its batches.
		batches: {isDue: () => this.#phase === 'running' && this.#batches.pending.size > 0, work: () => this.#batches.leavePending()},
		idle: {isDue: () => this.#mayBeIdle, work: () => this.#calls.answerIdle()},
		retention: {isDue: () => this.#phase === 'running' && this.#retentions.isDue, work: () => this.#retentions.work()},
		schedules: {isDue: () => this.#runsSchedules && this.#schedules.isDue, work: () => this.#schedules.work()},
	};

	constructor(
		store: Store,
		makePool: ((listener: PoolListener) => Pool) | undefined,
		{clock: timers = systemClock, closeOnSignals = false, scopes = [], waitsForBatch = false, ...options}: DispatcherOptions,
	) {
		const {owner, leaseMs, events, retention, only, output} = options;
		const clock: Clock = {...timers, now: () => store.now()};
		const clients = new Clients(store, output, events);
		const report = (event: JobEvent) => clients.publish(event);
		const agenda = new Agenda(clock);
		agenda.set('verification', 0);
		const retries = makeRetries(clock, () => agenda.at('deadline'), report);
		this.#wakeUp = new WakeUp(clock);
		this.#context = {
			...{store, owner, scopes, clock, clients, retries, agenda},
			wake: why => {
				if (trace) agenda.wokeFor(why);
				this.#wakeUp.set();
			},
			maintain: async () => {
				// Transactions that never wait would keep the event loop from running timers.
				await clock.nextTurn();
				await this.#do('maintenance');
			},
		};
		this.#committer = new Committer(this.#context, makePool, closeOnSignals);
		this.#maintenance = new Maintenance(this.#context, this.#committer, leaseMs);
		this.#committer.mayClaim = !waitsForBatch;
		this.#batches = new OpenBatches(this.#context, this.#maintenance, () => {
			this.#committer.mayClaim = this.#phase === 'running';
		});
		this.#schedules = new Schedules(this.#context, this.#committer);
		this.#calls = new Calls(this.#context, this.#committer, this.#batches, this.#schedules);
		this.#retentions = new Retentions(this.#context, retention);
		this.#only = only;
	}

	/** @throws FaenaError `UnknownTask` if the pool has no task of a chosen name */
	#chosen(tasks: readonly TaskInfo[]): readonly TaskInfo[] {
		const names = tasks.map(({name}) => name);
		const unknown = this.#only?.find(name => !names.includes(name));
		if (unknown !== undefined) throw new FaenaError('UnknownTask', `The tasks module has no task ${JSON.stringify(unknown)}${nearest(unknown, names)}`);
		return tasks.filter(({name}) => this.#only?.includes(name) ?? true);
	}

	/** Loads the tasks and starts the loop. Resolves with the tasks. */
	async start(): Promise<readonly TaskInfo[]> {
		const {pool, demand} = this.#committer;
		try {
			// If the first reclaim fails, the maintenance tries again, and reports it.
			const [tasks = []] = await Promise.all([pool?.load(), this.#maintenance.reclaim().catch(() => undefined)]);
			failpoint('pool:loaded');
			demand.tasks = new Map(this.#chosen(tasks).map(({name, options}) => [name, {...options, own: checkTaskOptions(`task ${name}`, options)}]));
			this.#retentions.start(tasks);
			// Jobs may wait to be claimed.
			this.#context.wake('the start');
			void this.#run();
			return tasks;
		} catch (error) {
			this.#maintenance.stop();
			this.#retentions.stop();
			await pool?.close();
			throw error;
		}
	}

	receive(calls: readonly Call[]): void {
		for (const call of calls) {
			if (call.type === 'signalAnswered') this.#committer.signals.answered();
			else if (call.type === 'close') this.#beginClose(call);
			else if (this.#phase !== 'running') this.#context.clients.refuseAsClosed(call.call);
			else if (call.type === 'enqueue') this.#committer.enqueues.push(call);
			else this.#calls.waiting.push(call);
		}
		this.#context.wake('calls');
	}

	async #run(): Promise<void> {
		const {clock, clients} = this.#context;
		while (this.#phase !== 'closed') {
			await this.#wakeUp.wait(this.#sleepMs());
			// While all workers are busy, most outcomes need no commit of their own.
			const hasOtherWork = this.#maintenance.isDue || this.#maintenance.news.length > 0 || this.#choreDueInMs() <= 0 || this.#momentDueInMs() <= 0;
			if (this.#lingers && !hasOtherWork) continue;
			// All calls and outcomes that have arrived by now share the transaction.
			await clock.nextTurn();
			try {
				this.#maintenance.handleNews();
				await this.#do('maintenance');
				await this.#do('batches');
				await this.#do('schedules');
				if (!this.#lingers) await this.#performAndCommit();
				await this.#do('lookUps');
				await this.#do('idle');
				await this.#do('retention');
				if (this.#phase !== 'running') await this.#shutDown();
				clients.flush();
			} catch (error) {
				this.#fail(error);
			}
		}
	}

	async #performAndCommit(): Promise<void> {
		const {commit} = this.#context.retries;
		// What a caller reads shows what has ended before.
		if (this.#calls.hasVerbs && this.#committer.waiting.hasOutcomes && commit.waitMs === 0) await this.#committer.commit({enqueues: false});
		await this.#calls.perform();
		if (commit.waitMs === 0) await this.#committer.commit();
	}

	#sleepMs(): number {
		const commitDueInMs = this.#calls.waiting.length > 0 ? 0 : this.#committer.commitDueInMs();
		const deadlineInMs = this.#phase === 'draining' ? this.#context.agenda.inMs('deadline') : Infinity;
		return Math.min(commitDueInMs, Math.max(0, this.#momentDueInMs()), deadlineInMs, this.#choreDueInMs());
	}

	#momentDueInMs(): number {
		return this.#runsSchedules && this.#context.retries.schedules.count === 0 ? this.#schedules.dueInMs : Infinity;
	}

	/** An engine without tasks leaves schedules to the others. */
	get #runsSchedules(): boolean {
		return this.#phase === 'running' && this.#committer.pool !== undefined;
	}

	get #lingers(): boolean {
		return this.#calls.waiting.length === 0 && this.#committer.lingerMs() > 0;
	}

	/** A test that drains its engine finds deleted what is kept no longer, unless that fails. */
	get #mayBeIdle(): boolean {
		const {idle} = this.#calls;
		if (idle.length === 0 || this.#committer.hasJobs || this.#committer.enqueues.hasCalls) return false;
		return !this.#retentions.isDue || this.#context.retries.retention.count > 0 || idle.every(({waiting}) => waiting);
	}

	async #do(chore: (typeof CHORES)[number]): Promise<void> {
		const {isDue, work} = this.#chores[chore];
		const retry = this.#context.retries[chore];
		if (isDue() && retry.waitMs === 0) await retry.attempt(work);
	}

	/** How long until a chore that has failed is tried again, or the next part of the watched jobs is looked up. */
	#choreDueInMs(): number {
		const {retries} = this.#context;
		const failed = CHORES.filter(chore => retries[chore].count > 0 && this.#chores[chore].isDue());
		return Math.min(Math.max(this.#verifyInMs(), retries.lookUps.waitMs), ...failed.map(chore => retries[chore].waitMs));
	}

	#verifyInMs(): number {
		const {clients, agenda} = this.#context;
		return clients.isUnverified ? agenda.inMs('verification') : Infinity;
	}

	async #lookUp(): Promise<void> {
		const verifies = this.#verifyInMs() <= 0;
		if (verifies) this.#context.agenda.set('verification', VERIFY_EVERY_MS);
		await this.#context.clients.lookUp(verifies);
	}

	#beginClose({call, drainMs, isSignalled = false}: Call & {type: 'close'}): void {
		this.#closeCalls.push(call);
		if (isSignalled) this.#committer.signals.hasSignalCome = true;
		this.#context.agenda.bringForward('deadline', drainMs);
		if (this.#phase !== 'running') return;
		this.#phase = 'draining';
		this.#committer.mayClaim = false;
		for (const {call} of this.#committer.enqueues.takeWaiting()) this.#context.clients.refuseAsClosed(call);
		void this.#committer.release().then(() => {
			const jobs = this.#committer.pool?.size ?? 0;
			if (!isSignalled || jobs === 0 || this.#phase !== 'draining') return;
			this.#context.clients.publish({type: 'draining', jobs, drainMs});
			this.#context.clients.flush();
		});
	}

	async #shutDown(): Promise<void> {
		const {store, owner, agenda, clients} = this.#context;
		const {pool} = this.#committer;
		if (agenda.isDue('deadline')) {
			this.#calls.interrupt();
			if (this.#phase === 'draining') pool?.interrupt();
			this.#phase = 'interrupting';
		}
		if (this.#committer.enqueues.hasCalls || this.#calls.waiting.length > 0 || this.#committer.hasJobs) return;
		this.#maintenance.stop();
		this.#retentions.stop();
		await pool?.close();
		failpoint('close:drained');
		try {
			while ((await store.release(owner, {leave: true})).hasMore);
		} catch (error) {
			// It is enough that the owner, which has no jobs any more, drops its lock.
			clients.publish({type: 'setBack', setbacks: 1, waitMs: 0, error: toFailure(error)});
		}
		failpoint('close:left');
		await store.close();
		failpoint('close:closed');
		this.#phase = 'closed';
		for (const {call} of this.#calls.idle.splice(0)) clients.refuse(call, new FaenaError('Closed', 'The engine was closed while idle() waited.'));
		for (const call of this.#closeCalls.splice(0)) clients.reply(call, undefined);
	}

	/** Ends the dispatcher after an error that nothing else handles, and tells its callers. The jobs are safe in the store. */
	#fail(error: unknown): void {
		if (this.#phase === 'closed') return;
		this.#phase = 'closed';
		this.#maintenance.stop();
		this.#retentions.stop();
		this.#context.clients.flush();
		this.#context.clients.output({type: 'failed', error: toEnvelope(error)});
		void this.#committer.pool?.close();
	}
}

import type {JobUpdate, OwnerId} from '../job/claim.ts';
import type {EventName, SlowStart, WorkerLoss} from '../job/events.ts';
import {toEnvelope, toFailure} from '../job/failure.ts';
import type {EndedGroup} from '../job/group.ts';
import type {JobId} from '../job/job.ts';
import type {TaskInfo} from '../job/task.ts';
import type {Pool, PoolListener} from '../pool/pool.ts';
import type {Store} from '../store/store.ts';
import {type Clock, systemClock} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import {WakeUp} from '../support/wake-up.ts';
import type {Call, DispatcherMessage} from '../transport/messages.ts';
import {Calls, IdleCalls} from './calls.ts';
import {Clients} from './clients.ts';
import {HeldBatches} from './held-batches.ts';
import {JobFlow} from './job-flow.ts';
import {Maintenance, type MaintenanceResult, StoreNews} from './maintenance.ts';
import {Retries} from './retries.ts';

export interface DispatcherOptions {
	readonly owner: OwnerId;
	readonly leaseMs: number;
	/** Default: the system's. Its `now` must be the store's, too. */
	readonly clock?: Clock;
	/** Events that its callers subscribe to from the start. */
	readonly events?: readonly EventName[] | undefined;
	/** Set if the caller closes the engine on signals: the dispatcher then asks whether one has come before it settles jobs that threw. */
	readonly asksForSignals?: boolean;
	/** Takes messages to the callers. */
	readonly output: (message: DispatcherMessage) => void;
}

/** After another process has written, a part of the watched jobs is looked up this often. */
const LOOK_UP_EVERY_MS = 20;

/**
 * The loop between store and pool. Everything that happens, such as a call, an outcome, free workers, the passing of time or news of the
 * store, only stores something and wakes the loop. The loop then makes one commit: it settles jobs that ended, enqueues jobs that wait, and
 * claims as many as the pool can take. Only after the commit it starts the claimed jobs and answers the callers. It never runs a task itself.
 *
 * Phases: `running`; `draining` from the first `close` call on: it claims nothing, and releases jobs that have not started; `interrupting`
 * once the time to drain is over: it stops running jobs; `closed`.
 */
export class Dispatcher implements PoolListener {
	readonly #store: Store;
	readonly #pool: Pool | undefined;
	readonly #owner: OwnerId;
	readonly #leaseMs: number;
	readonly #clock: Clock;
	readonly #output: DispatcherOptions['output'];
	readonly #wakeUp: WakeUp;
	readonly #clients: Clients;
	readonly #calls: Calls;
	readonly #flow: JobFlow;
	readonly #batches: HeldBatches;
	readonly #news: StoreNews;
	readonly #retries: Retries;
	readonly #idleCalls: IdleCalls;
	#maintenance: Maintenance | undefined;
	#phase: 'running' | 'draining' | 'interrupting' | 'closed' = 'running';
	#closeCalls: number[] = [];

	constructor(
		store: Store,
		makePool: ((listener: PoolListener) => Pool) | undefined,
		{owner, leaseMs, clock = systemClock, events, asksForSignals = false, output}: DispatcherOptions,
	) {
		this.#store = store;
		this.#owner = owner;
		this.#leaseMs = leaseMs;
		this.#clock = clock;
		this.#output = output;
		this.#pool = makePool?.(this);
		this.#wakeUp = new WakeUp(clock);
		this.#clients = new Clients(store, output, events);
		this.#retries = new Retries(clock, event => this.#clients.publish(event));
		this.#idleCalls = new IdleCalls(store, this.#clients);
		this.#batches = new HeldBatches(store, owner);
		this.#flow = this.#makeFlow(asksForSignals);
		this.#news = this.#makeNews();
		this.#calls = this.#makeCalls();
	}

	#makeFlow(asksForSignals: boolean): JobFlow {
		const parts = {store: this.#store, pool: this.#pool, owner: this.#owner, clock: this.#clock, clients: this.#clients, retries: this.#retries};
		const host = {
			mayClaim: () => this.#phase === 'running',
			wake: () => this.#wakeUp.set(),
			lookUp: () => this.#lookUp(),
			maintain: () => this.#maintainMeanwhile(),
			askForSignals: () => this.#output({type: 'signalQuery'}),
		};
		return new JobFlow(parts, host, asksForSignals);
	}

	#makeNews(): StoreNews {
		return new StoreNews({
			wake: () => this.#wakeUp.set(),
			jobsMayBeReady: () => this.#flow.jobsMayBeReady(),
			watchedMayHaveEnded: () => this.#clients.watches.allMayHaveEnded(),
			stop: id => this.#flow.stop(id),
			publish: event => this.#clients.publish(event),
			failed: error => this.#retries.add('listening', error),
			succeeded: () => this.#retries.clear('listening'),
		});
	}

	#makeCalls(): Calls {
		return new Calls(this.#store, this.#owner, this.#clock, this.#clients, this.#batches, this.#idleCalls, {
			lookUp: () => this.#lookUp(),
			statistics: () => this.#flow.report(),
			reclaim: async () => (await this.#maintenance?.reclaim())?.jobs ?? 0,
			jobsMayBeReady: () => this.#flow.jobsMayBeReady(),
			stop: id => this.#flow.stop(id),
			release: task => this.#flow.release(task),
			confirmStops: async () => this.#pool?.confirmStops(),
			wake: () => this.#wakeUp.set(),
		});
	}

	/** Loads the tasks and starts the loop. Resolves with the tasks. */
	async start(): Promise<readonly TaskInfo[]> {
		// It listens first, since the first reclaim may end jobs and so complete a batch.
		this.#news.listen(this.#store, this.#owner);
		const [tasks] = await Promise.all([this.#load(), this.#reclaimFirst()]);
		failpoint('pool:loaded');
		this.#flow.setTasks(tasks);
		this.#maintenance = new Maintenance(this.#store, this.#owner, this.#leaseMs, this.#clock, () => this.#wakeUp.set());
		// Jobs may wait to be claimed.
		this.#wakeUp.set();
		void this.#run();
		return tasks;
	}

	async #load(): Promise<readonly TaskInfo[]> {
		try {
			return (await this.#pool?.load()) ?? [];
		} catch (error) {
			await this.#pool?.close();
			throw error;
		}
	}

	/** Reclaims while the workers start. If it fails, the maintenance tries again, and reports it. */
	async #reclaimFirst(): Promise<void> {
		try {
			const {jobs} = await this.#store.reclaim();
			if (jobs > 0) this.#clients.publish({type: 'recovered', jobs});
		} catch {
			// See above.
		}
	}

	receive(calls: readonly Call[]): void {
		for (const call of calls) {
			if (call.type === 'signalAnswered') this.#flow.signalAnswered();
			else if (this.#phase !== 'running' && call.type !== 'close') this.#clients.refuse(call.call, new FaenaError('Closed', 'This engine is closed.'));
			else if (call.type === 'enqueue') this.#clients.add(call);
			else if (call.type === 'close') this.#beginClose(call);
			else this.#calls.add(call);
		}
		this.#wakeUp.set();
	}

	// ——— called by the pool ———

	ended(task: string, groups: readonly EndedGroup[]): void {
		this.#flow.ended(task, groups);
	}

	updated(update: JobUpdate): void {
		this.#flow.updated(update);
	}

	freed(): void {
		this.#flow.freed();
	}

	lost(loss: WorkerLoss): void {
		this.#flow.workerLost(loss);
		this.#clients.publish({type: 'workerLost', ...loss});
		this.#wakeUp.set();
	}

	/** Published at once: `start()` may wait for this worker. */
	startsSlowly(slow: SlowStart): void {
		this.#clients.publish({type: 'slowStart', ...slow});
		this.#clients.flush();
	}

	memoryShort(id: JobId): void {
		this.#clients.publish({type: 'memoryShort', id});
	}

	// ——— the loop ———

	async #run(): Promise<void> {
		while (this.#phase !== 'closed') {
			await this.#wakeUp.wait(this.#sleepMs());
			// While all workers are busy, most outcomes need no commit of their own.
			if (this.#lingerMs() > 0 && !this.#maintenance?.isDue && this.#news.isEmpty && this.#retryDueInMs() > 0) continue;
			// All calls and outcomes that have arrived by now share the transaction.
			await this.#clock.nextTurn();
			try {
				this.#news.handle();
				await this.#maintain();
				await this.#leaveBatches();
				if (this.#lingerMs() > 0) {
					this.#clients.flush();
					continue;
				}
				await this.#calls.perform();
				if (this.#retries.waitMs('commit') === 0) await this.#flow.commit();
				await this.#answerIdle();
				if (this.#phase !== 'running') await this.#shutDown();
				this.#clients.flush();
			} catch (error) {
				this.#fail(error);
			}
		}
	}

	#sleepMs(): number {
		if (this.#calls.hasWaiting || this.#calls.hasMoves) return 0;
		return Math.min(this.#flowSleepMs(), this.#retryDueInMs());
	}

	#flowSleepMs(): number {
		if (this.#retries.hasFailed('commit')) return this.#retries.waitMs('commit');
		if (this.#flow.mustCommit) return Math.max(0, this.#lingerMs());
		if (this.#phase === 'draining') return Math.max(0, this.#retries.deadline - this.#clock.steadyMs());
		return this.#phase === 'running' ? Math.max(0, this.#lingerMs(), this.#flow.dueInMs()) : Infinity;
	}

	/** How long until an activity beside the commits that has failed is tried again. */
	#retryDueInMs(): number {
		const isDue = {maintenance: this.#mustMaintain, idle: !this.#idleCalls.isEmpty, batches: this.#phase === 'running' && this.#batches.hasPending};
		const failed = (['maintenance', 'idle', 'batches'] as const).filter(activity => isDue[activity] && this.#retries.hasFailed(activity));
		return Math.min(...failed.map(activity => this.#retries.waitMs(activity)));
	}

	#lingerMs(): number {
		return this.#phase !== 'running' || this.#retries.hasFailed('commit') || this.#hasCalls ? 0 : this.#flow.lingerMs();
	}

	get #hasCalls(): boolean {
		return this.#calls.hasWaiting || this.#calls.hasMoves || this.#clients.hasEnqueues;
	}

	async #maintain(): Promise<void> {
		if (!this.#mustMaintain || this.#retries.waitMs('maintenance') > 0) return;
		await this.#retries.attempt('maintenance', async () => {
			if (this.#maintenance?.isDue) this.#handleMaintenance(await this.#maintenance.tick());
			await this.#lookUpSome();
		});
	}

	get #mustMaintain(): boolean {
		return (this.#maintenance?.isDue ?? false) || this.#clients.watches.hasLookUps;
	}

	#handleMaintenance({reclaimed, isOwnerLost, refusal}: MaintenanceResult): void {
		if (isOwnerLost) {
			void this.#flow.release();
			// Other engines have reclaimed these jobs. The store would refuse their results from here.
			this.#pool?.interrupt();
			this.#clients.publish({type: 'ownerLost'});
		}
		if (reclaimed > 0) this.#clients.publish({type: 'recovered', jobs: reclaimed});
		if (reclaimed > 0) this.#flow.jobsMayBeReady();
		if (refusal) this.#flow.publishRefusal({}, refusal);
	}

	/** Looks up whether watched jobs have ended. If that fails, it is tried again later. */
	async #lookUp(): Promise<void> {
		if (this.#clients.watches.hasLookUps && this.#retries.waitMs('maintenance') === 0) await this.#retries.attempt('maintenance', () => this.#lookUpSome());
	}

	async #lookUpSome(): Promise<void> {
		if (await this.#clients.watches.lookUp()) this.#clock.after(LOOK_UP_EVERY_MS, () => this.#wakeUp.set());
	}

	/** While the dispatcher closes, this is not needed: the end of the owner frees its batches. */
	async #leaveBatches(): Promise<void> {
		if (this.#phase !== 'running' || this.#retries.waitMs('batches') > 0) return;
		try {
			await this.#batches.leavePending();
			this.#retries.clear('batches');
		} catch (error) {
			this.#retries.add('batches', error);
		}
	}

	/** Keeps the heartbeat going during many transactions in a row. */
	async #maintainMeanwhile(): Promise<void> {
		// Transactions that never wait would keep the event loop from running timers.
		await this.#clock.nextTurn();
		await this.#maintain();
	}

	// ——— closing ———

	async #answerIdle(): Promise<void> {
		if (this.#idleCalls.isEmpty || this.#flow.hasJobs || this.#clients.hasEnqueues || this.#retries.waitMs('idle') > 0) return;
		const {tasks, isDue} = this.#flow;
		await this.#retries.attempt('idle', () => this.#idleCalls.answer(tasks, isDue && tasks.length > 0));
	}

	#beginClose({call, drainMs, isSignalled = false}: Call & {type: 'close'}): void {
		this.#closeCalls.push(call);
		if (isSignalled) this.#flow.signalCame();
		this.#retries.deadline = Math.min(this.#retries.deadline, this.#clock.steadyMs() + drainMs);
		if (this.#phase !== 'running') return;
		this.#phase = 'draining';
		void this.#flow.release();
		this.#wakeUp.set();
	}

	async #shutDown(): Promise<void> {
		if (this.#phase === 'closed' || this.#clients.hasEnqueues || this.#calls.hasWaiting) return;
		if (this.#calls.hasMoves && this.#clock.steadyMs() < this.#retries.deadline) return;
		this.#calls.interrupt();
		if ((this.#pool?.size ?? 0) > 0) {
			if (this.#phase === 'draining' && this.#clock.steadyMs() >= this.#retries.deadline) {
				this.#phase = 'interrupting';
				this.#pool?.interrupt();
			}
			return;
		}
		if (this.#flow.hasOutcomes) return;
		this.#stopTimers();
		await this.#pool?.close();
		failpoint('close:drained');
		await this.#leave();
		failpoint('close:left');
		await this.#store.close();
		failpoint('close:closed');
		this.#phase = 'closed';
		this.#idleCalls.refuse();
		for (const call of this.#closeCalls.splice(0)) this.#clients.reply(call, undefined);
	}

	#stopTimers(): void {
		this.#maintenance?.stop();
		this.#news.stop();
	}

	/** Deregisters the owner, which has no jobs any more. If that can't be written, it is enough that the owner drops its lock. */
	async #leave(): Promise<void> {
		try {
			while ((await this.#store.release(this.#owner, {leave: true})).hasMore);
		} catch (error) {
			this.#clients.publish({type: 'setBack', setbacks: 1, waitMs: 0, error: toFailure(error)});
		}
	}

	/** Ends the dispatcher after an error that nothing else handles, and tells its callers. The jobs are safe in the store. */
	#fail(error: unknown): void {
		if (this.#phase === 'closed') return;
		this.#phase = 'closed';
		this.#stopTimers();
		this.#clients.flush();
		this.#output({type: 'failed', error: toEnvelope(error)});
		void this.#pool?.close();
		this.#wakeUp.set();
	}
}

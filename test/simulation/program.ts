import type {BatchId} from '../../lib/job/batch.ts';
import {type EnqueuedGroup, listIds, sizeOf} from '../../lib/job/groups/group.ts';
import type {CancelResult} from '../../lib/job/job.ts';
import {type Schedule, type ScheduleSpec, waitsForEnd} from '../../lib/job/schedule.ts';
import type {JobFilter} from '../../lib/job/search.ts';
import type {Call, CallBody, DispatcherMessage, EnqueueCall, Notice, Verbs} from '../../lib/transport/messages.ts';
import {noticesOf} from '../fixtures/notices.ts';
import type {Ledger} from './ledger.ts';
import {BATCHES, onCompleteOf, planEnqueue, planFilter, planFlow, planSchedule, planWaiting, TASKS} from './plans.ts';
import type {Actor, Scheduler} from './scheduler.ts';

/** Mean time between a program's calls. */
const CALL_EVERY_MS = 100;

/** What a program does next, by weight. */
const CALLS = {
	...{enqueue: 50, enqueueToBatch: 10, cancel: 6, discard: 2, retry: 6, pause: 2, resume: 4, watch: 4, unwatch: 1, idle: 1, stats: 1, cleanup: 2},
	...{endInput: 4, closeBatch: 1, leaveBatch: 1, deleteBatch: 1, close: 0.4},
	...{enqueueWaiting: 15, flow: 4, setSchedule: 1.5, pauseSchedule: 0.3, resumeSchedule: 0.6, deleteSchedule: 0.3},
};

/** Calls on their way, and what is to be done with the answer. */
interface Asked {
	readonly body: CallBody;
	readonly then: ((value: unknown) => void) | undefined;
}

/** The program of a simulated process: calls its dispatcher at random, over a line that is slow and keeps the order, and believes what it is told. */
export class Program {
	readonly #actor: Actor;
	readonly #scheduler: Scheduler;
	readonly #ledger: Ledger;
	readonly #receive: (calls: readonly Call[]) => void;
	readonly #isCalm: () => boolean;
	readonly #asked = new Map<number, Asked>();
	readonly #watched = new Set<number>();
	/** Its own batches by name, and enqueues to them that were not answered: a batch must not end meanwhile. */
	readonly #batches = new Map<string, number>();
	#enqueuesToBatches = 0;
	#flows = 0;
	#lastCall = 0;
	#lastDelivery = 0;
	#lastAnswer = 0;
	#isClosing = false;

	constructor(actor: Actor, scheduler: Scheduler, ledger: Ledger, receive: (calls: readonly Call[]) => void, isCalm: () => boolean) {
		this.#actor = actor;
		this.#scheduler = scheduler;
		this.#ledger = ledger;
		this.#receive = receive;
		this.#isCalm = isCalm;
	}

	begin(): void {
		this.#scheduler.schedule(this.#actor, this.#scheduler.chance.share() * 2 * CALL_EVERY_MS, 'caller', 'calls', () => {
			if (this.#isCalm() || this.#isClosing) return;
			this.#calls[this.#scheduler.chance.weighted(CALLS)]();
			this.begin();
		});
	}

	close(drainMs: number): void {
		if (this.#isClosing) return;
		this.#isClosing = true;
		this.#call({type: 'close', drainMs});
	}

	resume(tasks: readonly string[]): void {
		this.#verb('resume', [tasks]);
	}

	/** Calls that were not answered, and jobs whose end was not told. */
	get waiting(): string[] {
		const calls = [...this.#asked.values()].map(({body}) => `an answer to ${JSON.stringify(body)}`);
		return [...calls, ...[...this.#watched].map(id => `the end of job ${id}`)];
	}

	/** It has calls on their way that may change the database. */
	get isAsking(): boolean {
		return [...this.#asked.values()].some(({body}) => body.type === 'enqueue' || body.type === 'verb');
	}

	get isClosing(): boolean {
		return this.#isClosing;
	}

	/** A parked job has not ended: it waits for a retry. */
	forgetParked(ledger: Ledger): void {
		for (const id of this.#watched) if (ledger.isParked(id)) this.#watched.delete(id);
	}

	answer(message: DispatcherMessage, closed: () => void): void {
		this.#lastAnswer = Math.max(this.#lastAnswer, this.#scheduler.steadyMs + this.#scheduler.chance.ms(10));
		this.#scheduler.schedule(this.#actor, this.#lastAnswer - this.#scheduler.steadyMs, 'delivery', message.type, () => {
			if (message.type === 'failed') closed();
			if (message.type !== 'replies') return;
			for (const reply of message.replies) this.#replied(reply.call, 'error' in reply ? undefined : {value: reply.value}, closed);
			for (const notice of noticesOf(message)) this.#noticed(notice);
		});
	}

	#replied(call: number, answer: {readonly value: unknown} | undefined, closed: () => void): void {
		const asked = this.#asked.get(call);
		this.#asked.delete(call);
		if (asked?.body.type === 'close') closed();
		else if (answer) asked?.then?.(answer.value);
	}

	#noticed(notice: Notice): void {
		this.#ledger.noticed(notice);
		this.#watched.delete(notice.id);
	}

	/** By the names in {@link CALLS}. */
	readonly #calls: Readonly<Record<keyof typeof CALLS, () => unknown>> = {
		enqueue: () => this.#enqueue(undefined),
		enqueueToBatch: () => this.#withBatch(batch => this.#enqueue(batch)),
		enqueueWaiting: () => this.#ledger.ids.length > 0 && this.#send(planWaiting(this.#scheduler.chance, this.#scheduler.now, this.#ledger.ids)),
		flow: () => this.#flow(),
		setSchedule: () => this.#setSchedule(),
		pauseSchedule: () => this.#verb('schedule', [{type: 'pause', name: planSchedule(this.#scheduler.chance).name}]),
		resumeSchedule: () => {
			const {name} = planSchedule(this.#scheduler.chance);
			this.#withSchedule(name, old => old && this.#verb('schedule', [{type: 'resume', name, at: old.nextAt, nextAt: this.#nextMoment(old.spec, old)}]));
		},
		deleteSchedule: () => this.deleteSchedule(planSchedule(this.#scheduler.chance).name),
		cancel: () => this.#verb('cancel', [this.#filter()], result => this.#ledger.toldOfCancel(this.#actor, result as CancelResult)),
		discard: () => this.#verb('discard', [this.#filter().ids ?? [], {stop: this.#scheduler.chance.is(0.5)}]),
		retry: () => this.#verb('retry', [this.#filter()]),
		pause: () => {
			const tasks = [this.#scheduler.chance.pick(TASKS).name];
			this.#verb('pause', [tasks], () => this.#ledger.toldOfPause(this.#actor, tasks));
		},
		resume: () => this.#verb('resume', [[this.#scheduler.chance.pick(TASKS).name]]),
		// A job that is not there yet may be said to be missing, and be there when that is heard.
		watch: () => this.#watch((this.#filter().ids ?? []).filter(id => this.#ledger.ids.includes(id))),
		unwatch: () => this.#unwatch([...this.#watched].slice(0, 3)),
		idle: () => this.#call({type: 'idle', waiting: this.#scheduler.chance.is(0.5)}),
		stats: () => this.#call({type: 'stats'}),
		cleanup: () => this.#verb('delete', [{endedBefore: this.#scheduler.now - this.#scheduler.chance.int(3000)}, {limit: 50}]),
		endInput: () => this.#withBatch(batch => this.#verb('endInput', [batch, this.#scheduler.chance.int(50)])),
		closeBatch: () => this.#endBatch((_, batch) => this.#verb('closeBatch', [batch])),
		leaveBatch: () => this.#endBatch((_, batch) => this.#verb('leaveBatch', [batch])),
		deleteBatch: () => this.#endBatch(name => this.#verb('deleteBatch', [name, 50])),
		close: () => this.close(this.#scheduler.chance.ms(2000)),
	};

	#filter(): JobFilter {
		return planFilter(this.#scheduler.chance, this.#ledger.ids, [...this.#batches.keys()]);
	}

	/** Opens the batch first, if it is not open, and lets it be at that. */
	#withBatch(use: (batch: BatchId) => void): void {
		const name = `${this.#scheduler.chance.pick(BATCHES)} of ${this.#actor.name}`;
		const batch = this.#batches.get(name);
		if (batch !== undefined) use(batch);
		else this.#openBatch(name);
	}

	#openBatch(name: string): void {
		const onComplete = onCompleteOf(name);
		this.#verb('openBatch', [name, 'plain', onComplete ? {onComplete} : {}], opened => {
			this.#batches.set(name, (opened as {id: BatchId}).id);
			this.unhold({batch: name});
		});
	}

	/** Runs what earlier programs have left: none of these names its items again. */
	unhold(filter: JobFilter): void {
		this.#verb('endHold', [filter, 'unheld']);
	}

	#endBatch(end: (name: string, batch: BatchId) => void): void {
		const [name, batch] = [...this.#batches][0] ?? [];
		if (name === undefined || batch === undefined || this.#enqueuesToBatches > 0) return;
		this.#batches.delete(name);
		end(name, batch);
	}

	/** Opens a flow, enqueues its jobs and ends its input: in between it may die. */
	#flow(): void {
		const name = `flow ${++this.#flows} of ${this.#actor.name}`;
		this.#verb('openBatch', [name, undefined, {flow: 'structure'}], opened => {
			const {id: batch} = opened as {id: BatchId};
			const {groups, jobs} = planFlow(this.#scheduler.chance, batch);
			this.#verb('addToFlow', [groups], enqueued => {
				const [{ids, missing}] = enqueued as [EnqueuedGroup];
				if (missing === undefined) this.#verb('sealFlow', [batch, jobs, [[listIds(ids, 1)[0], jobs]]]);
			});
		});
	}

	#setSchedule(): void {
		const {name, spec} = planSchedule(this.#scheduler.chance);
		this.#withSchedule(name, old => this.#verb('schedule', [{type: 'set', name, spec, nextAt: this.#nextMoment(spec, old), lastAt: old?.lastAt ?? null}]));
	}

	/** As the engine does, it reads the schedule first. */
	#withSchedule(name: string, use: (old: Schedule | undefined) => void): void {
		this.#verb('schedules', [], schedules => use((schedules as readonly Schedule[]).find(each => each.name === name)));
	}

	/** Not before the last moment: the clock may have been set back. */
	#nextMoment(spec: ScheduleSpec, old: Schedule | undefined): number | null {
		if (waitsForEnd(spec) && old && old.lastJobId !== null) return null;
		const from = Math.max(this.#scheduler.now, old?.lastAt ?? 0);
		return 'everyMs' in spec.timing ? (Math.floor(from / spec.timing.everyMs) + 1) * spec.timing.everyMs : from;
	}

	deleteSchedule(name: string): void {
		this.#verb('schedule', [{type: 'delete', name}]);
	}

	deleteFlow(name: string): void {
		this.#verb('deleteBatch', [name, 50]);
	}

	#enqueue(batch: BatchId | undefined): void {
		const {chance, now} = this.#scheduler;
		this.#send(planEnqueue(chance, now, batch), batch);
	}

	#send(body: EnqueueCall, batch?: BatchId): void {
		if (batch !== undefined) this.#enqueuesToBatches++;
		this.#call(body, value => {
			if (batch !== undefined) this.#enqueuesToBatches--;
			const {conflicts, missing, ...reply} = value as EnqueuedGroup;
			if (missing !== undefined) return;
			const ids = listIds(reply.ids, sizeOf(body.group));
			this.#ledger.acknowledged(ids);
			if (body.watch && !conflicts) for (const id of ids) this.#watched.add(id);
		});
	}

	#watch(ids: readonly number[]): void {
		for (const id of ids) this.#watched.add(id);
		this.#call({type: 'watch', ids});
	}

	#unwatch(ids: readonly number[]): void {
		for (const id of ids) this.#watched.delete(id);
		this.#call({type: 'unwatch', ids});
	}

	#verb(verb: keyof Verbs, args: readonly unknown[], then?: (value: unknown) => void): void {
		this.#call({type: 'verb', verb, args}, then);
	}

	#call(body: CallBody, then?: (value: unknown) => void): void {
		const {chance, steadyMs} = this.#scheduler;
		const call = ++this.#lastCall;
		this.#asked.set(call, {body, then});
		this.#lastDelivery = Math.max(this.#lastDelivery, steadyMs + chance.ms(10));
		const what = body.type === 'verb' ? `call ${body.verb} ${JSON.stringify(body.args)}` : `call ${body.type}`;
		this.#scheduler.schedule(this.#actor, this.#lastDelivery - steadyMs, 'delivery', what, () => this.#receive([{call, ...body}]));
	}
}

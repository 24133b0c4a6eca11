import {closeSync, mkdtempSync, openSync} from 'node:fs';
import {join} from 'node:path';
import {type FailureRecord, toEnvelope} from '../../lib/job/failure.ts';
import {idAt, numberAt, sizeOf} from '../../lib/job/groups/group.ts';
import {pack} from '../../lib/job/groups/packed.ts';
import {packTimes} from '../../lib/job/groups/packed-times.ts';
import type {StopReason} from '../../lib/job/job.ts';
import type {ChildJob} from '../../lib/job/new-job.ts';
import {OpenJobsCell} from '../../lib/job/open-jobs.ts';
import type {TaskInfo} from '../../lib/job/task/task.ts';
import type {Examination, PoolChunkState, PoolWorker, WorkerEnd, WorkerListener} from '../../lib/pool/pool.ts';
import {
	ChildChunkState,
	chunkStateFileIn,
	createRegions,
	obey,
	RemoteChunkStates,
	type WatchdogAnswer,
	type WatchdogCommand,
} from '../../lib/pool/processes/chunk-states.ts';
import {NO_ANSWER} from '../../lib/pool/stack-snapshot.ts';
import type {Clock} from '../../lib/support/clock.ts';
import type {ChunkState} from '../../lib/worker/chunk-state.ts';
import type {ChunkMessage, ChunkReport, Loaded, LoadMessage, WorkerRequest} from '../../lib/worker/messages.ts';
import type {Execution} from './executions.ts';
import type {Ledger} from './ledger.ts';
import {type Plan, planExecution} from './plans.ts';
import type {Actor, Scheduler} from './scheduler.ts';

/** Reports leave a worker after so much work. */
const REPORT_EVERY_MS = 5;
/** How often a task that heeds it looks whether it is to stop. */
const LOOK_EVERY_MS = 15;

/** What the workers of a process share. */
export interface Workshop {
	readonly actor: Actor;
	readonly scheduler: Scheduler;
	readonly ledger: Ledger;
	readonly tasks: readonly TaskInfo[];
	readonly clock: Clock;
	/** For the files of their chunk states. */
	readonly folder: string;
	/** From then on nothing goes wrong but what tasks do themselves. */
	readonly isCalm: () => boolean;
}

/** Workers that run no code: what each task does, and when its worker dies, is thrown by dice. */
export class SimulatedSource {
	readonly #shop: Workshop;
	readonly #workers = new Set<SimulatedWorker>();
	#made = 0;

	constructor(shop: Workshop) {
		this.#shop = shop;
	}

	readonly make = (listener: WorkerListener): PoolWorker => {
		const worker = new SimulatedWorker(`${this.#shop.actor.name}.${++this.#made}`, this.#shop, {
			...listener,
			gone: ending => {
				this.#workers.delete(worker);
				listener.gone(ending);
			},
		});
		this.#workers.add(worker);
		return worker;
	};

	/** For the end of the world: the workers of a dead process hold their files open. */
	dispose(): void {
		for (const worker of this.#workers) worker.dispose();
	}
}

/** A child process but for its code: its chunk states lie in a file, and a watchdog obeys the pool's commands, which take their time. */

class SimulatedWorker implements PoolWorker, Actor {
	readonly kind = 'process';
	readonly name: string;
	readonly #shop: Workshop;
	readonly #listener: WorkerListener;
	readonly #gone = Promise.withResolvers<void>();
	#isEnding = false;
	#hasEnded = false;
	#lastDelivery = 0;
	#last: Promise<void> = Promise.resolve();
	#running: readonly Execution[] = [];
	readonly #regions = createRegions();
	readonly #chunkStates: RemoteChunkStates;
	readonly #file: number;
	#lastCommand = 0;
	#obeyed: Promise<void> = Promise.resolve();
	#lastRequest = 0;
	#number = 0;
	#cell: OpenJobsCell | undefined;

	constructor(name: string, shop: Workshop, listener: WorkerListener) {
		this.name = name;
		this.#shop = shop;
		this.#listener = listener;
		const place = mkdtempSync(join(shop.folder, 'worker-'));
		this.#chunkStates = new RemoteChunkStates(place, command => this.#command(command), shop.clock);
		this.#file = openSync(chunkStateFileIn(place), 'r+');
	}

	get isDead(): boolean {
		return this.#hasEnded || this.#shop.actor.isDead;
	}

	get isSuspended(): boolean {
		return this.#shop.actor.isSuspended;
	}

	chunkState(jobs: number): PoolChunkState {
		return this.#chunkStates.open(jobs);
	}

	async request(request: WorkerRequest): Promise<unknown> {
		const {scheduler} = this.#shop;
		// What was asked first arrives first.
		this.#lastRequest = Math.max(this.#lastRequest, scheduler.steadyMs + scheduler.chance.ms(request.type === 'load' ? 200 : 5));
		await this.#sleep(this.#lastRequest - scheduler.steadyMs, `asked to ${request.type}`);
		if (request.type === 'load') return this.#load(request);
		if (request.type !== 'chunk') return;
		this.#last = this.#last.then(() => this.#runChunk(request));
		return this.#last;
	}

	examine(): Promise<Examination> {
		return this.#chunkStates.examine();
	}

	/** Commands arrive in order, and each is obeyed after the one before. Its answer leaves at once. */
	#command(command: WatchdogCommand): void {
		const {scheduler} = this.#shop;
		this.#lastCommand = Math.max(this.#lastCommand, scheduler.steadyMs + scheduler.chance.ms(5));
		scheduler.schedule(this, this.#lastCommand - scheduler.steadyMs, 'delivery', `a command to the watchdog of ${this.name}`, () => {
			this.#obeyed = this.#obeyed.then(() => obey(command, this.#regions, () => this.#lookAtItself())).then(answer => this.#post(answer));
		});
	}

	async #lookAtItself(): Promise<typeof NO_ANSWER> {
		await this.#sleep(this.#shop.scheduler.chance.ms(50), 'examined');
		return NO_ANSWER;
	}

	dispose(): void {
		this.#chunkStates.close();
		closeSync(this.#file);
	}

	end(): Promise<void> {
		const {scheduler, actor} = this.#shop;
		if (!this.#isEnding)
			scheduler.schedule(actor, scheduler.chance.ms(50), 'work', `${this.name} is killed`, () => this.#die({exitCode: null, signal: 'SIGKILL'}));
		this.#isEnding = true;
		return this.#gone.promise;
	}

	#die(ending: WorkerEnd): void {
		if (this.#hasEnded) return;
		this.#hasEnded = true;
		this.#isEnding = true;
		const {scheduler, actor, ledger} = this.#shop;
		for (const execution of this.#running) ledger.ended(execution, 'died');
		// After all it posted, and by the process's hand: the worker has none any more.
		scheduler.schedule(actor, this.#deliveryDelayMs(), 'delivery', `${this.name} is gone`, () => {
			this.#cell?.close();
			this.#gone.resolve();
			this.#listener.gone(ending);
			// Until then it tells which job ran.
			this.dispose();
		});
	}

	#load({openJobs, worker}: LoadMessage): Loaded {
		const {scheduler, tasks, isCalm} = this.#shop;
		this.#number = worker;
		this.#cell = openJobs === undefined ? undefined : new OpenJobsCell(openJobs, worker);
		if (!isCalm() && scheduler.chance.is(0.03)) return {error: toEnvelope(new Error('The model is not there.'))};
		return {tasks};
	}

	async #runChunk(chunk: ChunkMessage): Promise<void> {
		const {scheduler, tasks} = this.#shop;
		const chunkState = new ChildChunkState(this.#regions, chunk.chunkState as number, this.#file);
		this.#show(chunk, 0);
		const report = new OutcomeBuffer(
			chunk.chunk,
			this.#shop,
			message => this.#post(message),
			final => this.#show(chunk, final),
		);
		const {batchSize = 1} = tasks.find(({name}) => name === chunk.group.task)?.options ?? {};
		const jobs = sizeOf(chunk.group);
		for (let first = 0; first < jobs; first += batchSize) {
			const end = Math.min(first + batchSize, jobs);
			const at = scheduler.steadyMs;
			const started = batchSize > 1 ? chunkState.startMany(first, end, at) : chunkState.start(first, at) ? [first] : [];
			await this.#runTogether(chunk, chunkState, report, {first, end, started});
			if (scheduler.steadyMs - report.since >= REPORT_EVERY_MS) report.post();
		}
		chunkState.close();
		report.post();
		await this.#sleep(scheduler.chance.ms(3), 'ends a chunk');
		report.finish(true);
	}

	/** As a worker does, so that a later owner reads in the file which jobs were open. */
	#show({group}: ChunkMessage, final: number): void {
		const {lease, ids} = group;
		const jobs = sizeOf(group);
		this.#cell?.write({lease, ids, jobs}, final);
		const open = Array.from({length: jobs - final}, (_, index) => idAt(ids, final + index));
		this.#shop.ledger.opened(this.#shop.actor, this.#number, lease, open);
	}

	async #runTogether(
		chunk: ChunkMessage,
		chunkState: ChunkState,
		report: OutcomeBuffer,
		{first, end, started}: {readonly first: number; readonly end: number; readonly started: readonly number[]},
	): Promise<void> {
		const {scheduler, ledger} = this.#shop;
		const {group} = chunk;
		const at = scheduler.steadyMs;
		this.#running = started.map(index => ledger.started(idAt(group.ids, index), numberAt(group.executions, index), this.#shop.actor, this.name));
		const plan = planExecution(scheduler.chance, this.#shop.isCalm());
		if (this.#running.length > 0) await this.#run(plan, chunk, chunkState, report, started[0] as number);
		for (let index = first; index < end; index++) {
			const execution = this.#running[started.indexOf(index)];
			if (!execution) {
				report.skip(index);
				continue;
			}
			const stop = chunkState.finish(index) ? undefined : chunkState.stopReason(index);
			const result = stop === undefined ? plan.result(execution) : undefined;
			ledger.ended(execution, stop ?? result?.type ?? 'returned', result);
			report.add(index, at, stop, result, started.length > 1 && stop === 'timedOut');
		}
		this.#running = [];
	}

	/** Until the work is done, or the task heeds that it is to stop. */
	async #run({durationMs, heedsStops, dies, notes}: Plan, chunk: ChunkMessage, chunkState: ChunkState, report: OutcomeBuffer, index: number): Promise<void> {
		const {scheduler} = this.#shop;
		const until = scheduler.steadyMs + durationMs;
		if (durationMs > 1) report.postEnded();
		for (const {done, state} of notes) {
			chunkState.setProgress(done, Number.NaN, scheduler.now);
			this.#post({type: 'update', chunk: chunk.chunk, index, checkpoint: {at: scheduler.now, state}});
		}
		while (scheduler.steadyMs < until) {
			const leftMs = until - scheduler.steadyMs;
			await this.#sleep(heedsStops ? Math.min(LOOK_EVERY_MS, leftMs) : leftMs, 'works');
			if (heedsStops && chunkState.stopReason(index)) return;
		}
		if (!dies) return;
		this.#die({exitCode: 1});
		await new Promise(() => undefined);
	}

	#sleep(ms: number, what: string): Promise<void> {
		const {scheduler} = this.#shop;
		return new Promise(resolve => void scheduler.schedule(this, ms, 'work', what, resolve));
	}

	#post(message: ChunkReport | WatchdogAnswer): void {
		const {scheduler, actor} = this.#shop;
		const what = message.type === 'answer' ? 'an answer' : `${message.type} of chunk ${message.chunk}`;
		scheduler.schedule(actor, this.#deliveryDelayMs(), 'delivery', `${what} from ${this.name}`, () => {
			if (message.type === 'answer') this.#chunkStates.receive(message);
			else this.#listener.message(message);
		});
	}

	/** What was posted first arrives first. */
	#deliveryDelayMs(): number {
		const {scheduler} = this.#shop;
		this.#lastDelivery = Math.max(this.#lastDelivery, scheduler.steadyMs + scheduler.chance.ms(20));
		return this.#lastDelivery - scheduler.steadyMs;
	}
}

/** How a job of the chunk ended, as its worker saw it. */
export type Result =
	| {readonly type: 'returned'; readonly value: string; readonly enqueue: readonly ChildJob[]}
	| {readonly type: 'threw'; readonly error: FailureRecord};

/** As `lib/worker/outcomes.ts`: outcomes that have not been posted, and those that are posted and not final. */
class OutcomeBuffer {
	readonly #chunk: number;
	readonly #shop: Workshop;
	readonly #post: (message: ChunkReport) => void;
	readonly #onFinal: (jobs: number) => void;
	#first = 0;
	#values: (string | null)[] = [];
	#starts: number[] = [];
	#durations: number[] = [];
	#failures = new Map<number, FailureRecord>();
	#stops = new Map<number, StopReason>();
	#suspects = new Set<number>();
	#enqueues = new Map<number, readonly ChildJob[]>();
	#skipped = new Set<number>();
	#isPosted = false;
	since = 0;

	constructor(chunk: number, shop: Workshop, post: (message: ChunkReport) => void, onFinal: (jobs: number) => void) {
		this.#chunk = chunk;
		this.#shop = shop;
		this.#post = post;
		this.#onFinal = onFinal;
	}

	skip(index: number): void {
		this.#values.push(null);
		this.#starts.push(0);
		this.#durations.push(0);
		this.#skipped.add(index);
	}

	add(index: number, startedAt: number, stop: StopReason | undefined, result: Result | undefined, isSuspect: boolean): void {
		const {scheduler} = this.#shop;
		if (this.#values.length === 0) this.since = startedAt;
		this.#values.push(result?.type === 'returned' ? result.value : null);
		this.#starts.push(Math.round(scheduler.now - (scheduler.steadyMs - startedAt)));
		this.#durations.push(scheduler.steadyMs - startedAt);
		if (isSuspect) this.#suspects.add(index);
		else if (stop) this.#stops.set(index, stop);
		if (result?.type === 'threw') this.#failures.set(index, result.error);
		if (result?.type === 'returned' && result.enqueue.length > 0) this.#enqueues.set(index, result.enqueue);
	}

	/** What came before the job that runs, made final a little later. */
	postEnded(): void {
		this.post();
		if (this.#isPosted) this.finish(false);
	}

	post(): void {
		if (this.#values.length === 0) return;
		this.#post({
			type: 'outcomes',
			chunk: this.#chunk,
			first: this.#first,
			values: pack(this.#values),
			times: packTimes(this.#values.length, {startedAt: Float64Array.from(this.#starts), durationMs: Float64Array.from(this.#durations)}),
			...(this.#failures.size > 0 && {failures: this.#failures}),
			...(this.#stops.size > 0 && {stops: this.#stops}),
			...(this.#suspects.size > 0 && {suspects: this.#suspects}),
			...(this.#enqueues.size > 0 && {enqueues: this.#enqueues}),
			...(this.#skipped.size > 0 && {skipped: this.#skipped}),
		});
		this.#first += this.#values.length;
		this.#isPosted = true;
		[this.#values, this.#starts, this.#durations, this.#skipped] = [[], [], [], new Set()];
		[this.#failures, this.#stops, this.#suspects, this.#enqueues] = [new Map(), new Map(), new Set(), new Map()];
	}

	finish(isLast: boolean): void {
		if (!this.#isPosted && !isLast) return;
		this.#isPosted = false;
		this.#post({type: 'final', chunk: this.#chunk, isLast});
		this.#onFinal(this.#first);
	}
}

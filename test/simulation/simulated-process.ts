import {existsSync, rmSync, writeFileSync} from 'node:fs';
import {dirname} from 'node:path';
import {Dispatcher} from '../../lib/dispatcher/dispatcher.ts';
import type {PoolOptions} from '../../lib/job/options.ts';
import type {TaskInfo} from '../../lib/job/task/task.ts';
import {WorkerPool} from '../../lib/pool/worker-pool.ts';
import {SqliteStore} from '../../lib/store/sqlite/sqlite.ts';
import type {Store} from '../../lib/store/store.ts';
import type {Clock} from '../../lib/support/clock.ts';
import type {DispatcherMessage} from '../../lib/transport/messages.ts';
import {delayed} from '../store/delayed-store.ts';
import type {Ledger} from './ledger.ts';
import {observe} from './observed-store.ts';
import {Program} from './program.ts';
import type {Actor, Scheduler} from './scheduler.ts';
import {SimulatedSource} from './workers.ts';

export interface Surroundings {
	readonly scheduler: Scheduler;
	readonly ledger: Ledger;
	readonly database: string;
	readonly leaseMs: number;
	readonly isCalm: () => boolean;
	readonly everybody: () => readonly Actor[];
}

const OPTIONS: Omit<PoolOptions, 'workers'> = {
	...{tasks: 'file:///tasks.ts', defaults: {}, graceMs: 100, maxValueBytes: 1e6, maxCheckpointBytes: 1e6, taskOutput: 'stderr', isolation: 'process'},
	...{resourceLimits: undefined, env: undefined, execArgv: [], nice: undefined, minFreeMemoryBytes: 0, postMortem: false},
	recycle: {jobs: 50, ageMs: 20_000, memoryBytes: Infinity},
};

/**
 * One process of the simulated host: a real dispatcher, with a real store on the file that all share and a real pool, over
 * simulated workers, and a program that uses it. `opening` until its tasks are loaded, then `open`, until it is `closed`,
 * or `dead`, when its lock falls and everything it had in hand is gone.
 */
export class SimulatedProcess implements Actor {
	readonly name: string;
	readonly program: Program;
	readonly tasks: readonly TaskInfo[];
	readonly #around: Surroundings;
	readonly #store: Store;
	readonly #source: SimulatedSource;
	#phase: 'opening' | 'open' | 'closed' | 'dead' = 'opening';
	isSuspended = false;

	constructor(name: string, workers: number, tasks: readonly TaskInfo[], around: Surroundings) {
		this.name = name;
		this.tasks = tasks;
		this.#around = around;
		const {scheduler, ledger, database, leaseMs, isCalm, everybody} = around;
		const clock: Clock = scheduler.clockOf(this);
		const random = () => scheduler.chance.share();
		const store = new SqliteStore(database, {durability: 'normal', leaseMs, clock, random});
		this.#store = observe(store, {actor: this, scheduler, ledger, isCalm, everybody});
		const source = new SimulatedSource({actor: this, scheduler, ledger, tasks, clock, folder: dirname(database), isCalm});
		this.#source = source;
		const dispatcher = new Dispatcher(
			delayed(this.#store, () => random() ** 4, clock.nextTurn),
			listener => new WorkerPool({process: source.make}, {...OPTIONS, workers, ...store.ownerFiles(name)}, listener, clock),
			{owner: name, leaseMs, clock, output: message => this.#output(message)},
		);
		this.program = new Program(this, scheduler, ledger, calls => dispatcher.receive(calls), isCalm);
		dispatcher.start().then(
			() => {
				this.#phase = 'open';
				this.program.begin();
			},
			() => this.close(),
		);
	}

	get isDead(): boolean {
		return this.#phase === 'closed' || this.#phase === 'dead';
	}

	get isOpen(): boolean {
		return this.#phase === 'open';
	}

	/** As `kill -9`: nothing of it happens any more, and the system takes its lock. */
	kill(): void {
		if (this.isDead) return;
		this.#phase = 'dead';
		this.#around.ledger.died(this);
		const lock = `${this.#around.database}-owner-${this.name}`;
		if (!existsSync(lock)) return;
		rmSync(`${lock}-journal`, {force: true});
		// A file in its place that has no holder: this process still holds the other.
		rmSync(lock);
		writeFileSync(lock, '', {mode: 0o600});
	}

	suspend(ms: number): void {
		const {scheduler} = this.#around;
		this.isSuspended = true;
		scheduler.schedule(NOBODY, ms, 'fault', `${this.name} goes on`, () => {
			this.isSuspended = false;
			scheduler.resume();
		});
	}

	/** In good order, or after a failure, when its dispatcher has not left. */
	close(): void {
		if (this.isDead) return;
		this.#phase = 'closed';
		this.#around.ledger.died(this);
		void this.#store.close();
	}

	/** For the end of the world: a dead process holds its files open. */
	dispose(): void {
		void this.#store.close();
		this.#source.dispose();
	}

	#output(message: DispatcherMessage): void {
		this.program.answer(message, () => this.close());
	}
}

/** Who suspends and resumes. */
export const NOBODY: Actor = {name: '', isDead: false, isSuspended: false};

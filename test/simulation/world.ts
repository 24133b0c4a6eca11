import {existsSync, mkdtempSync, readdirSync, rmSync, utimesSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import Database from 'better-sqlite3';
import {openStore} from '../../lib/store/open-store.ts';
import {brokenLaws} from '../fault/laws.ts';
import {Chance} from './chance.ts';
import {Ledger} from './ledger.ts';
import {TASKS} from './plans.ts';
import {type EventKind, Scheduler} from './scheduler.ts';
import {NOBODY, SimulatedProcess, type Surroundings} from './simulated-process.ts';

const LEASE_MS = 3000;
/** In some worlds, so that what others write hides nothing, only one lives at a time. */
const MOST_PROCESSES = [1, 2, 3, 3];
/** Mean time between faults. */
const FAULT_EVERY_MS = 700;
const FAULTS = {kill: 3, suspend: 4, jump: 1, nudge: 1, none: 1};
const DAY_MS = 86_400_000;
/** After the last fault everything must have ended by then. */
const CALM_MS = 120_000;
/** The most events it may take. More mean that a process spins. */
const CALM_EVENTS = 300_000;

export interface OutcomeBuffer {
	readonly events: number;
	readonly counts: Readonly<Record<EventKind, number>>;
	readonly jobs: number;
	readonly executions: number;
	/** Executions that lost their claim. */
	readonly takenBack: number;
	readonly faults: Readonly<Record<string, number>>;
	readonly simulatedMs: number;
	/** The first law that was broken, and what happened before. */
	readonly broken?: string;
	readonly lastLines?: readonly string[];
}

/** Lets a world happen until there were so many events, then lets it come to rest, and tells whether all laws held. */
export async function simulate(seed: number, events: number, onLine?: (line: string) => void): Promise<OutcomeBuffer> {
	const world = await World.make(seed, onLine);
	try {
		await world.live(events);
		await world.comeToRest();
		return world.report();
	} finally {
		world.end();
	}
}

/** A host with up to three processes on one database, what befalls them, and the ledger. */
class World {
	readonly #chance: Chance;
	readonly #scheduler: Scheduler;
	readonly #folder: string;
	readonly #db: Database.Database;
	readonly #ledger: Ledger;
	readonly #around: Surroundings;
	readonly #processes: SimulatedProcess[] = [];
	readonly #mostProcesses: number;
	readonly #faults: Record<string, number> = {};
	#isCalm = false;
	#broken: string | undefined;
	#lastLines: readonly string[] = [];

	static async make(seed: number, onLine: ((line: string) => void) | undefined): Promise<World> {
		const folder = mkdtempSync(join(tmpdir(), 'faena-simulation-'));
		await (await openStore(join(folder, 'jobs.db'), {durability: 'normal'})).close();
		return new World(seed, onLine, folder);
	}

	private constructor(seed: number, onLine: ((line: string) => void) | undefined, folder: string) {
		this.#folder = folder;
		this.#chance = new Chance(seed);
		this.#mostProcesses = this.#chance.pick(MOST_PROCESSES);
		this.#scheduler = new Scheduler(this.#chance, onLine);
		const database = join(folder, 'jobs.db');
		this.#db = new Database(database);
		this.#ledger = new Ledger(this.#scheduler, this.#db, LEASE_MS, law => this.#break(law));
		this.#around = {
			scheduler: this.#scheduler,
			ledger: this.#ledger,
			database,
			leaseMs: LEASE_MS,
			isCalm: () => this.#isCalm,
			everybody: () => this.#processes,
		};
	}

	async live(events: number): Promise<void> {
		this.#spawn();
		this.#befall();
		while (this.#scheduler.happened < events && this.#broken === undefined) await this.#scheduler.step();
	}

	/** No more faults and calls: everything ends, everybody hears of it, everybody closes. */
	async comeToRest(): Promise<void> {
		if (this.#broken !== undefined) return;
		this.#isCalm = true;
		await this.#until('no process is suspended', () => !this.#alive.some(({isSuspended}) => isSuspended));
		// What is on its way may have the latest start of all, or pause a task.
		await this.#until('what was asked is answered', () => !this.#alive.some(({program}) => program.isAsking));
		if (this.#ledger.latestStart > this.#scheduler.now) this.#jump(this.#ledger.latestStart - this.#scheduler.now);
		await this.#until('somebody with all tasks is open', () => this.#hasAllTasks());
		for (const {program} of this.#alive.filter(isServing)) program.resume(TASKS.map(({name}) => name));
		await this.#endFlowsAndSchedules();
		for (const {program} of this.#alive.filter(isServing)) program.unhold({});
		await this.#until(
			'everything ends',
			() => this.#hasAllTasks() && this.#ledger.unended === 0,
			() => this.#ledger.stuck,
		);
		for (const {program} of this.#alive) program.forgetParked(this.#ledger);
		await this.#until(
			'everybody is told',
			() => this.#unanswered.length === 0,
			() => this.#unanswered.join(', '),
		);
		for (const {program} of this.#alive) program.close(100);
		await this.#until(
			'everybody closes',
			() => this.#alive.length === 0,
			() => this.#alive.map(({name}) => name).join(', '),
		);
		if (this.#broken !== undefined) return;
		this.#ledger.compare();
		for (const law of brokenLaws(this.#db)) this.#break(law);
		await this.#sweep();
		const locks = this.#locks();
		if (locks.length > 0) this.#break(`no lock stays behind: ${locks.join(', ')}`);
		const {owners} = this.#ledger;
		if (owners.length > 0) this.#break(`no ended process is an owner: ${owners.join(', ')}`);
	}

	#locks(): string[] {
		return readdirSync(this.#folder).filter(name => name.includes('-owner-'));
	}

	/** A process that is killed while it has no row leaves its lock to the next one that opens the file, a minute later. */
	async #sweep(): Promise<void> {
		for (const name of this.#locks()) utimesSync(join(this.#folder, name), 0, 0);
		const store = await openStore(join(this.#folder, 'jobs.db'), {durability: 'normal'});
		await store.reclaim();
		await store.close();
	}

	/** What would never end: schedules, and flows that died programs had not enqueued wholly. */
	async #endFlowsAndSchedules(): Promise<void> {
		const [serving] = this.#alive.filter(isServing);
		for (const name of this.#ledger.schedules) serving?.program.deleteSchedule(name);
		for (const batch of this.#ledger.unsealed) serving?.program.deleteFlow(this.#ledger.nameOf(batch));
		await this.#until('what was asked is answered', () => !this.#alive.some(({program}) => program.isAsking));
	}

	/** Starts somebody if need be: who was there may end yet, as was asked of it before. */
	#hasAllTasks(): boolean {
		const own = this.#alive.filter(({tasks, program}) => tasks === TASKS && !program.isClosing);
		if (own.length === 0) this.#start(TASKS);
		return own.some(isServing);
	}

	report(): OutcomeBuffer {
		const {happened, counts, steadyMs} = this.#scheduler;
		return {
			events: happened,
			counts,
			jobs: this.#ledger.ids.length,
			executions: this.#ledger.executions,
			takenBack: this.#ledger.takenBack,
			faults: this.#faults,
			simulatedMs: steadyMs,
			...(this.#broken !== undefined && {broken: this.#broken, lastLines: this.#lastLines}),
		};
	}

	end(): void {
		this.#db.close();
		for (const process of this.#processes) process.dispose();
		if (existsSync(this.#folder)) rmSync(this.#folder, {recursive: true});
	}

	get #alive(): SimulatedProcess[] {
		return this.#processes.filter(({isDead}) => !isDead);
	}

	get #unanswered(): string[] {
		return this.#alive.flatMap(({name, program}) => program.waiting.map(what => `${name} waits for ${what}`));
	}

	#break(law: string): void {
		if (this.#broken !== undefined) return;
		this.#broken = law;
		this.#lastLines = this.#scheduler.lastLines;
	}

	async #until(what: string, isSo: () => boolean, describe: () => string = () => ''): Promise<void> {
		const [deadline, lastEvent] = [this.#scheduler.steadyMs + CALM_MS, this.#scheduler.happened + CALM_EVENTS];
		while (this.#broken === undefined && !isSo()) {
			if (this.#scheduler.steadyMs > deadline) this.#break(`after the last fault ${what}: ${describe()}`);
			else if (this.#scheduler.happened > lastEvent) this.#break(`no process spins until ${what}: ${describe()}`);
			else if (!(await this.#scheduler.step())) this.#break(`something goes on until ${what}: ${describe()}`);
		}
	}

	/** Some processes have only some of the tasks, as while a program is being replaced by its next version. */
	#spawn(): void {
		if (this.#isCalm) return;
		if (this.#alive.length < this.#mostProcesses) this.#start(this.#chance.is(0.7) ? TASKS : TASKS.filter(() => this.#chance.is(0.6)));
		this.#scheduler.schedule(NOBODY, 200 + this.#chance.share() * 1500, 'fault', 'another process may start', () => this.#spawn());
	}

	#start(tasks: typeof TASKS): void {
		const process = new SimulatedProcess(`P${this.#processes.length + 1}`, 1 + this.#chance.int(3), tasks, this.#around);
		this.#processes.push(process);
		this.#count('start');
	}

	#befall(): void {
		if (this.#isCalm) return;
		this.#fault();
		this.#scheduler.schedule(NOBODY, this.#chance.share() * 2 * FAULT_EVERY_MS, 'fault', 'may befall them', () => this.#befall());
	}

	#fault(): void {
		const victims = this.#alive.filter(({isSuspended}) => !isSuspended);
		const kind = this.#chance.weighted(FAULTS);
		if (kind === 'none' || victims.length === 0) return;
		const victim = this.#chance.pick(victims);
		this.#count(kind);
		this.#scheduler.trace(victim, `fault: ${kind}`);
		if (kind === 'jump') this.#jump(this.#chance.pick([-DAY_MS, DAY_MS, -3_600_000, 3_600_000]));
		else if (kind === 'nudge') this.#jump(this.#chance.int(5000) - 2500);
		else if (kind === 'kill') victim.kill();
		else victim.suspend(this.#chance.ms(4 * LEASE_MS));
	}

	#jump(ms: number): void {
		this.#scheduler.jump(ms);
		this.#scheduler.trace(undefined, `the clock jumps by ${ms} ms`);
	}

	#count(fault: string): void {
		this.#faults[fault] = (this.#faults[fault] ?? 0) + 1;
	}
}

/** Its calls are taken. */
function isServing({isOpen, program}: SimulatedProcess): boolean {
	return isOpen && !program.isClosing;
}

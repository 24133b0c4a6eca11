import {nameOf} from '../../task-number.ts';
import type {Statements} from '../connection/statements.sql.ts';

/** Stride of the key of a cell; must exceed the largest state. */
export const STATE_STRIDE = 16;

/** How the facts are read of which {@link CachedFacts} keeps the last value. */
const READ = {
	/** The numbers of the tasks that are not paused, by name. */
	unpaused: ({unpausedTasks}: Statements) => new Map(unpausedTasks.all() as [name: string, task: number][]),
	/** The numbers of the scopes, by name. */
	scopes: ({scopes}: Statements) => Map.groupBy(scopes.all() as [id: number, name: string][], ([, name]) => name),
	/** When the next waiting job becomes due; `null` if none waits. */
	nextRunAt: ({nextRunAt}: Statements) => (nextRunAt.get() ?? null) as number | null,
	hasExpiries: ({anyExpiry}: Statements) => anyExpiry.get() !== undefined,
	/** True if some job waits for others, or has waited. */
	hasEdges: ({anyEdge}: Statements) => anyEdge.get() !== undefined,
	hasUsed: ({anyUsed}: Statements) => anyUsed.get() !== undefined,
	hasParentChanges: ({anyParentChange}: Statements) => anyParentChange.get() !== undefined,
	/** The next moment of a schedule; `null` if there is none. */
	nextMoment: ({nextMoment}: Statements) => (nextMoment.get() ?? null) as number | null,
	/** True if the next moment of a schedule depends on the end of a job. */
	hasEndWaits: ({anyEndWait}: Statements) => anyEndWait.get() !== undefined,
	/** True if a schedule has enqueued some job. */
	hasScheduled: ({anyScheduled}: Statements) => anyScheduled.get() !== undefined,
	/** True if some job is held, or will be. */
	hasHeld: ({anyHeld}: Statements) => anyHeld.get() !== undefined,
	hasFingerprints: ({anyFingerprint}: Statements) => anyFingerprint.get() !== undefined,
	hasCheckpoints: ({anyCheckpoint}: Statements) => anyCheckpoint.get() !== undefined,
	/** The number of jobs by `task * STATE_STRIDE + state`. */
	tally: ({tally}: Statements) => {
		const rows = tally.all() as [task: number, state: number, jobs: number][];
		return new Map(rows.map(([task, state, jobs]) => [task * STATE_STRIDE + state, jobs]));
	},
} as const;

type Facts = {-readonly [Name in keyof typeof READ]?: ReturnType<(typeof READ)[Name]>};

/**
 * What a connection knows of the database, so that a transaction does not read again what no one has changed. It is valid while no other connection
 * commits, which `data_version` shows, and until a transaction is undone.
 */
export class CachedFacts {
	/** `data_version` at the last transaction. */
	version: unknown;
	readonly #statements: Statements;
	#facts: Facts = {};

	constructor(statements: Statements) {
		this.#statements = statements;
	}

	/** Another connection has committed. */
	reset(version: unknown): void {
		this.version = version;
		this.#facts = {};
	}

	get<Name extends keyof Facts>(name: Name): NonNullable<Facts[Name]> | (Name extends 'nextRunAt' | 'nextMoment' ? null : never) {
		if (this.#facts[name] === undefined) this.#facts[name] = READ[name](this.#statements) as Facts[Name];
		return this.#facts[name] as never;
	}

	/** The fact has changed, and is read anew when it is needed. */
	forget(name: keyof Facts): void {
		delete this.#facts[name];
	}

	/** The number of jobs of the task in this state, before this transaction. */
	jobsIn(task: number, state: number): number {
		return this.counter(task, state) ?? 0;
	}

	/** A row of `tally`, before this transaction; `undefined` if there is none. */
	counter(task: number, state: number): number | undefined {
		return this.get('tally').get(task * STATE_STRIDE + state);
	}

	/** The number of jobs of one task in all scopes, or of all tasks, in these states, before this transaction. */
	sumOf(name: number | null, states: readonly number[]): number {
		return sumOfCells(this.get('tally'), name, states);
	}

	addToTally(task: number, state: number, jobs: number): void {
		const cell = task * STATE_STRIDE + state;
		const {tally} = this.#facts;
		tally?.set(cell, (tally.get(cell) ?? 0) + jobs);
	}
}

/** The number of jobs in the cells of a task, in all scopes, or of all tasks, and of these states. */
export function sumOfCells(cells: ReadonlyMap<number, number>, name: number | null, states: readonly number[]): number {
	let sum = 0;
	for (const [cell, jobs] of cells) {
		const task = Math.floor(cell / STATE_STRIDE);
		if (task > 0 && states.includes(cell % STATE_STRIDE) && (name === null || nameOf(task) === name)) sum += jobs;
	}
	return sum;
}

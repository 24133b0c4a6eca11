import Database from 'better-sqlite3';

/** The environment variable with the file for the recording. */
export const RECORDING = 'FAENA_BENCH_RECORDING';

/** All that a connection was asked, in order, from the first pragma to the last commit. */
export interface Recording {
	readonly statements: readonly {readonly sql: string; readonly mode: 'rows' | 'raw' | 'pluck'}[];
	readonly steps: readonly Step[];
}

export type Step =
	| {readonly does: 'begin'; readonly kind: 'deferred' | 'immediate' | 'exclusive'; readonly atMs: number}
	| {readonly does: 'commit' | 'rollback'}
	| {readonly does: 'exec'; readonly sql: string}
	| {readonly does: 'pragma'; readonly source: string}
	| Asked;

/** A statement that was run. */
interface Asked {
	readonly does: 'run' | 'get' | 'all' | 'iterate';
	/** Its number in {@link Recording.statements}. */
	readonly statement: number;
	readonly values: readonly unknown[];
	/** Number of rows that it returned or changed. */
	readonly count: number;
}

/** Repeats a recording on a new file. */
export class Player {
	readonly #database: Database.Database;
	readonly #sources: Recording['statements'];
	readonly #statements: Database.Statement[] = [];
	readonly #control: Readonly<Record<'deferred' | 'immediate' | 'exclusive' | 'commit' | 'rollback', Database.Statement>>;

	constructor(file: string, {statements}: Recording) {
		const database = new Database(file, {timeout: 0});
		this.#database = database;
		this.#sources = statements;
		this.#control = {
			deferred: database.prepare('begin deferred'),
			immediate: database.prepare('begin immediate'),
			exclusive: database.prepare('begin exclusive'),
			commit: database.prepare('commit'),
			rollback: database.prepare('rollback'),
		};
	}

	/** @throws Error if a statement returns or changes another number of rows than in the recording */
	play(steps: readonly Step[]): void {
		for (const step of steps) {
			switch (step.does) {
				case 'begin':
					this.#control[step.kind].run();
					break;
				case 'commit':
				case 'rollback':
					this.#control[step.does].run();
					break;
				case 'exec':
					this.#database.exec(step.sql);
					break;
				case 'pragma':
					this.#database.pragma(step.source);
					break;
				default:
					this.#repeat(step);
			}
		}
	}

	#repeat(step: Asked): void {
		const statement = this.#statements[step.statement] ?? this.#prepare(step.statement);
		const count = countOf(statement, step);
		if (count !== step.count) throw new Error(`void: ${count} rows instead of ${step.count} by ${statement.source}`);
	}

	#prepare(number: number): Database.Statement {
		const {sql, mode} = this.#sources[number] as Recording['statements'][number];
		const statement = this.#database.prepare(sql);
		this.#statements[number] = mode === 'rows' ? statement : statement[mode]();
		return statement;
	}

	close(): void {
		this.#database.close();
	}
}

function countOf(statement: Database.Statement, {does, values, count}: Asked): number {
	switch (does) {
		case 'run':
			return statement.run(...values).changes;
		case 'get':
			return statement.get(...values) === undefined ? 0 : 1;
		case 'all':
			return statement.all(...values).length;
		default: {
			let taken = 0;
			const rows = statement.iterate(...values);
			while (taken < count && !rows.next().done) taken++;
			rows.return?.();
			return taken;
		}
	}
}

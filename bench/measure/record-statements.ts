/**
 * Preloaded (`node --import`) into a process that measures Faena: records what the dispatcher's thread asks of better-sqlite3, and writes it
 * to the file that the environment names. The trial `replay` repeats it without Faena.
 */

import {writeFileSync} from 'node:fs';
import {basename} from 'node:path';
import {serialize} from 'node:v8';
import {isMainThread} from 'node:worker_threads';
import Database from 'better-sqlite3';
import {sharedMs} from './clock.ts';
import {RECORDING, type Recording, type Step} from './recording.ts';

type Statement = Database.Statement;
type Values = readonly unknown[];

const {prepare, exec, pragma, transaction, close} = Database.prototype;
const file = process.env[RECORDING];
const recorders = new WeakMap<Database.Database, Recorder>();

/** What one connection was asked. */
class Recorder {
	readonly statements: Recording['statements'][number][] = [];
	readonly steps: Step[] = [];

	/** Records calls of this statement, with what they gave, since a repetition must give the same. */
	watch(statement: Statement, sql: string): Statement {
		const number = this.statements.push({sql, mode: 'rows'}) - 1;
		const of = (mode: 'raw' | 'pluck') => {
			const own = statement[mode].bind(statement);
			return (on = true) => {
				if (on) this.statements[number] = {sql, mode};
				return own(on);
			};
		};
		const {run, get, all, iterate} = statement;
		const record = (method: 'run' | 'get' | 'all', call: (...values: unknown[]) => unknown, count: (answer: never) => number) => {
			return (...values: unknown[]) => {
				const answer = call.apply(statement, values);
				this.steps.push({does: method, statement: number, values: values.map(copy), count: count(answer as never)});
				return answer;
			};
		};
		const steps = this.steps;
		return Object.assign(statement, {
			raw: of('raw'),
			pluck: of('pluck'),
			run: record('run', run as never, ({changes}: Database.RunResult) => changes),
			get: record('get', get as never, (row: unknown) => (row === undefined ? 0 : 1)),
			all: record('all', all as never, (rows: Values) => rows.length),
			*iterate(...values: unknown[]) {
				let count = 0;
				const at = steps.push({does: 'iterate', statement: number, values: values.map(copy), count}) - 1;
				try {
					for (const row of iterate.apply(statement, values as never)) {
						count++;
						yield row;
					}
				} finally {
					steps[at] = {...(steps[at] as Step & {does: 'iterate'}), count};
				}
			},
		});
	}
}

function recorderOf(database: Database.Database): Recorder | undefined {
	const known = recorders.get(database);
	if (known || database.readonly || basename(database.name) !== 'jobs.db') return known;
	const made = new Recorder();
	recorders.set(database, made);
	return made;
}

/** Faena may use a buffer again, or give it to another thread. */
function copy(value: unknown): unknown {
	if (value instanceof Uint8Array) return value.slice();
	return typeof value === 'object' && value !== null ? {...value} : value;
}

/** A transaction function that records where the outermost transaction begins and ends. */
function recordedTransaction(this: Database.Database, run: (...values: unknown[]) => unknown) {
	const recorder = recorderOf(this);
	if (!recorder) return transaction.call(this, run as never);
	const of = (kind: 'deferred' | 'immediate' | 'exclusive') => {
		const transact = transaction.call(this, ((...values: unknown[]) => {
			recorder.steps.push({does: 'begin', kind, atMs: sharedMs()});
			return run(...values);
		}) as never)[kind] as (...values: unknown[]) => unknown;
		return (...values: unknown[]) => {
			if (this.inTransaction) return run(...values);
			const before = recorder.steps.length;
			try {
				const result = transact(...values);
				recorder.steps.push({does: 'commit'});
				return result;
			} catch (error) {
				if (recorder.steps.length > before) recorder.steps.push({does: 'rollback'});
				throw error;
			}
		};
	};
	return Object.assign(of('deferred'), {deferred: of('deferred'), immediate: of('immediate'), exclusive: of('exclusive')});
}

if (!isMainThread && file)
	Object.assign(Database.prototype, {
		prepare(this: Database.Database, sql: string) {
			const statement = prepare.call(this, sql) as Statement;
			return recorderOf(this)?.watch(statement, sql) ?? statement;
		},
		exec(this: Database.Database, sql: string) {
			recorderOf(this)?.steps.push({does: 'exec', sql});
			return exec.call(this, sql);
		},
		pragma(this: Database.Database, source: string, options?: Database.PragmaOptions) {
			recorderOf(this)?.steps.push({does: 'pragma', source});
			return pragma.call(this, source, options);
		},
		transaction: recordedTransaction,
		close(this: Database.Database) {
			const recorder = recorders.get(this);
			if (recorder && recorder.statements.length > 0)
				writeFileSync(file, serialize({statements: recorder.statements, steps: recorder.steps} satisfies Recording));
			return close.call(this);
		},
	});

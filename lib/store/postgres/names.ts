import type {Policy} from '../../job/job.ts';
import {Cache} from '../../support/cache.ts';
import {readPolicy, specOf} from '../stored-json.ts';
import {nameOf, scopeOf} from '../task-number.ts';
import type {Database} from './database.ts';

type Query = <Row>(text: string, values: readonly unknown[]) => Promise<Row[]>;
type NameRow = {readonly id: number; readonly name: string};

/** The numbers by which rows name tasks, scopes and policies. Each is read once: only an adopted scope changes, and who knows its old name has that scope, too. */
export class Names {
	readonly #db: Database;
	readonly #taskIds = new Cache<string, number>();
	readonly #taskNames = new Cache<number, string>();
	readonly scopes = new Cache<number, string>();
	readonly #policyIds = new Cache<string, number>();
	readonly #policies = new Cache<number, Policy>();

	constructor(db: Database) {
		this.#db = db;
	}

	/** The number of a task's name; `undefined` if it is not known: call {@link number} or {@link find} before. */
	taskId(name: string): number | undefined {
		return this.#taskIds.get(name);
	}

	policyId(policy: Policy): number | undefined {
		return this.#policyIds.get(specOf(policy));
	}

	taskName(id: number): string {
		return this.#taskNames.get(nameOf(id)) as string;
	}

	scopeName(task: number): string | undefined {
		return this.scopes.get(scopeOf(task));
	}

	policy(id: number): Policy {
		return this.#policies.get(id) as Policy;
	}

	/**
	 * Gives numbers to those tasks and policies that have none.
	 * @param waits whether it waits for a server that is away
	 */
	async number(named: readonly {readonly task?: string; readonly policy?: Policy}[], {waits = true} = {}): Promise<void> {
		const query: Query = (text, values) => (waits ? this.#db.query(text, values) : this.#db.ask(text, values));
		const tasks = unknown(
			this.#taskIds,
			named.flatMap(({task}) => task ?? []),
		);
		const specs = unknown(
			this.#policyIds,
			named.flatMap(({policy}) => (policy ? specOf(policy) : [])),
		);
		for (const [table, column, names] of [
			['task', 'name', tasks],
			['policy', 'spec', specs],
		] as const) {
			if (names.length === 0) continue;
			// In one order, so that two stores that insert the same can't wait for each other.
			const isNew = `not exists (select from @.${table} where ${column} = n)`;
			await query(`insert into @.${table} (${column}) select n from unnest($1::text[]) n where ${isNew} order by n on conflict do nothing`, [names]);
		}
		await this.find(tasks, query);
		if (specs.length > 0) this.#rememberPolicies(await query('select id, spec from @.policy where spec = any ($1)', [specs]));
	}

	/** Reads the numbers of those tasks that have some. */
	async find(names: readonly string[], query: Query = (text, values) => this.#db.query(text, values)): Promise<void> {
		const tasks = unknown(this.#taskIds, names);
		if (tasks.length > 0) this.#rememberTasks(await query('select id, name from @.task where name = any ($1)', [tasks]));
	}

	/** Reads the tasks, scopes and policies with these numbers. */
	async read(numbers: readonly {readonly task?: number; readonly policy: number}[]): Promise<void> {
		const tasks = unknown(
			this.#taskNames,
			numbers.flatMap(({task}) => (task === undefined ? [] : nameOf(task))),
		);
		const policies = unknown(
			this.#policies,
			numbers.map(({policy}) => policy),
		);
		const scopes = unknown(
			this.scopes,
			numbers.flatMap(({task = 0}) => scopeOf(task) || []),
		);
		if (tasks.length > 0) this.#rememberTasks(await this.#db.query('select id, name from @.task where id = any ($1)', [tasks]));
		if (scopes.length > 0)
			for (const {id, name} of await this.#db.query<NameRow>('select id, name from @.scope where id = any ($1)', [scopes])) this.scopes.set(id, name);
		if (policies.length > 0) this.#rememberPolicies(await this.#db.query('select id, spec from @.policy where id = any ($1)', [policies]));
	}

	#rememberTasks(rows: readonly NameRow[]): void {
		for (const {id, name} of rows) {
			this.#taskIds.set(name, id);
			this.#taskNames.set(id, name);
		}
	}

	#rememberPolicies(rows: readonly {readonly id: number; readonly spec: string}[]): void {
		for (const {id, spec} of rows) {
			this.#policyIds.set(spec, id);
			this.#policies.set(id, readPolicy(spec));
		}
	}
}

function unknown<Key>(known: Cache<Key, unknown>, keys: readonly Key[]): Key[] {
	return [...new Set(keys)].filter(key => known.get(key) === undefined);
}

import type {Policy} from '../../job/policy.ts';
import {Cache} from '../../support/cache.ts';
import {readPolicy, specOf} from '../stored-json.ts';
import {nameOf, scopeOf} from '../task-number.ts';
import type {Database} from './connection/database.ts';

type Query = <Row>(text: string, values: readonly unknown[]) => Promise<Row[]>;

/** The numbers of the tasks and policies that were asked for. */
export interface Numbers {
	readonly taskId: (name: string) => number | undefined;
	readonly policyId: (policy: Policy) => number | undefined;
}

/** What the numbers that were asked for stand for. */
export interface Named {
	readonly taskName: (id: number) => string;
	readonly scopeName: (task: number) => string | undefined;
	readonly policy: (id: number) => Policy;
}

/**
 * The numbers by which rows name tasks, scopes and policies. Few are read twice: only an adopted scope changes, and who knows its old name has that scope,
 * too. A call keeps what it has asked for, which others may meanwhile push out of the caches.
 */
export class NumberTables {
	readonly #query: Query;
	readonly #ask: Query;
	readonly #tasks = new Numbered('task', 'name', name => name);
	readonly #scopes = new Numbered('scope', 'name', name => name);
	readonly #policies = new Numbered('policy', 'spec', readPolicy);

	constructor(db: Database) {
		this.#query = (text, values) => db.query(text, values);
		this.#ask = (text, values) => db.ask(text, values);
	}

	/** Gives numbers to those tasks and policies that have none. `waits`: for a server that is away. */
	async number(named: readonly {readonly task?: string; readonly policy?: Policy}[], {waits = true} = {}): Promise<Numbers> {
		const query = waits ? this.#query : this.#ask;
		const names = named.flatMap(({task}) => task ?? []);
		const tasks = await this.#tasks.numbers(names, query, true);
		const specs = named.flatMap(({policy}) => (policy ? specOf(policy) : []));
		const policies = await this.#policies.numbers(specs, query, true);
		return {taskId: name => tasks.get(name), policyId: policy => policies.get(specOf(policy))};
	}

	/** The numbers of those tasks that have some. */
	find(names: readonly string[]): Promise<ReadonlyMap<string, number>> {
		return this.#tasks.numbers(names, this.#query, false);
	}

	/** The tasks, scopes and policies with these numbers. */
	async read(numbers: readonly {readonly task?: number; readonly policy: number}[]): Promise<Named> {
		const ids = numbers.flatMap(({task}) => (task === undefined ? [] : nameOf(task)));
		const tasks = await this.#tasks.values(ids, this.#query);
		const scopeIds = numbers.flatMap(({task = 0}) => scopeOf(task) || []);
		const scopes = await this.#scopes.values(scopeIds, this.#query);
		const policyIds = numbers.map(({policy}) => policy);
		const policies = await this.#policies.values(policyIds, this.#query);
		return {
			taskName: task => tasks.get(nameOf(task)) as string,
			scopeName: task => scopes.get(scopeOf(task)),
			policy: id => policies.get(id) as Policy,
		};
	}

	forgetScopes(): void {
		this.#scopes.forget();
	}
}

/** A table that gives numbers to texts. */
class Numbered<Value> {
	readonly #table: string;
	readonly #column: string;
	readonly #parse: (text: string) => Value;
	readonly #numbers = new Cache<string, number>();
	readonly #values = new Cache<number, Value>();

	constructor(table: string, column: string, parse: (text: string) => Value) {
		this.#table = table;
		this.#column = column;
		this.#parse = parse;
	}

	/** @param inserts true if those that have no number get one */
	numbers(texts: readonly string[], query: Query, inserts: boolean): Promise<ReadonlyMap<string, number>> {
		const [table, column] = [this.#table, this.#column];
		return lookUp(this.#numbers, texts, async unknown => {
			const isNew = `not exists (select from @.${table} where ${column} = n)`;
			// In one order, so that two stores that insert the same can't wait for each other.
			if (inserts)
				await query(`insert into @.${table} (${column}) select n from unnest($1::text[]) n where ${isNew} order by n on conflict do nothing`, [unknown]);
			return (await this.#read(`${column} = any ($1)`, unknown, query)).map(({id, text}) => [text, id]);
		});
	}

	values(ids: readonly number[], query: Query): Promise<ReadonlyMap<number, Value>> {
		return lookUp(this.#values, ids, async unknown => (await this.#read('id = any ($1)', unknown, query)).map(({id, value}) => [id, value]));
	}

	async #read(where: string, values: readonly unknown[], query: Query) {
		const rows = await query<{readonly id: number; readonly text: string}>(`select id, ${this.#column} as text from @.${this.#table} where ${where}`, [values]);
		return rows.map(({id, text}) => {
			this.#numbers.set(text, id);
			return {id, text, value: this.#values.set(id, this.#parse(text))};
		});
	}

	forget(): void {
		this.#numbers.clear();
		this.#values.clear();
	}
}

/** What the cache has of these keys, and of the others what is read. */
async function lookUp<Key, Value>(
	cache: Cache<Key, Value>,
	keys: readonly Key[],
	read: (unknown: readonly Key[]) => Promise<readonly (readonly [Key, Value])[]>,
): Promise<ReadonlyMap<Key, Value>> {
	const found = new Map<Key, Value>();
	const unknown = new Set<Key>();
	for (const key of keys) {
		const value = cache.get(key);
		if (value === undefined) unknown.add(key);
		else found.set(key, value);
	}
	if (unknown.size > 0) for (const [key, value] of await read([...unknown])) found.set(key, value);
	return found;
}

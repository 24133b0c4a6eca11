import {setTimeout as sleep} from 'node:timers/promises';
import {defined} from '../../../support/defined.ts';
import {FaenaError} from '../../../support/errors.ts';
import type {PostgresClient, PostgresPool} from '../../postgres-client.ts';
import {byteaArray, textArray} from './binary-arrays.ts';
import type {CallValues} from './call-values.ts';
import type {Calls} from './calls.ts';
import {Connections} from './connections.ts';
import {pg} from './driver.ts';
import {type Heard, Listening} from './listening.ts';
import {installedIn, migrate, type Send} from './migrate.ts';
import {PendingStatements} from './pending-statements.ts';
import {codeOf, isReadOnly, translate, unreachable} from './postgres-errors.ts';
import {functionsOf} from './schema.ts';
import {ServerClock} from './server-clock.ts';

const MAX_WAIT_MS = 1000;

const INT8 = 20;
const INT8_ARRAY = 1016;

/** Integers of 64 bits are read as numbers: ids and times are far below 2^53. */
export const TYPES = {
	getTypeParser(oid: number, format?: 'text' | 'binary') {
		if (oid === INT8) return Number;
		if (oid === INT8_ARRAY) return (text: string) => (text === '{}' ? [] : text.slice(1, -1).split(',').map(Number));
		return pg.types.getTypeParser(oid, format as 'text');
	},
};

/** What is part of every call. */
export interface CallContext {
	/** The number of the store, by which others tell its changes from their own. */
	readonly store: number;
	readonly host: string;
	/** True if commits need not wait for the server's disk. */
	readonly relaxed: boolean;
	/** The time, if it is not the server's; for tests. In milliseconds since 1970. */
	readonly now: (() => number) | undefined;
}

/** How a database is opened. */
export interface DatabaseOptions {
	/** The program's own, which stays open. */
	readonly pool?: PostgresPool | undefined;
	/** True if a missing schema is not made. */
	readonly isReadOnly?: boolean;
	/** True if no functions are called: they need not be there. */
	readonly onlyTables?: boolean;
	/** After it has waited this long for an answer, a call is looked for in the server. */
	readonly maxAnswerMs?: number;
}

/** Codes of a statement whose name the connection does not know, or has for another client. It has done nothing. */
const NAME_LOST: ReadonlySet<string> = new Set(['26000', '42P05']);

const DEADLOCK = '40P01';
const NO_SCHEMA = '3F000';
const MAX_DEADLOCKS = 10;

const TELL = 'select @@.tell_others($1)';

/** The server and the database. A user who may not know the server's number has only the database's. */
async function placeOf(send: Send): Promise<string> {
	const database = '(select oid from pg_database where datname = current_database())';
	const ask = async (place: string) => (await send<{place: string}>(`select ${place} as place`))[0]?.place ?? '';
	return ask(`(select system_identifier from pg_control_system()) || '-' || ${database}`).catch(error => {
		if (codeOf(error) !== '42501') throw error;
		return ask(`${database}::text`);
	});
}

/** The schema of a queue, and the connections to it. */
export class Database {
	readonly #connections: Connections;
	readonly #answers: PendingStatements;
	readonly clock: ServerClock;
	readonly #how: {readonly isReadOnly: boolean; readonly onlyTables: boolean};
	readonly #schema: string;
	/** The schema of its functions. */
	readonly #functions: string;
	/** Connections that share the lock of the functions, which nobody drops meanwhile. */
	readonly #sharing = new WeakSet<PostgresClient>();
	readonly #context: CallContext;
	/** True once notifications have come: then no pooler gives each transaction another connection. False once one has lost a statement's name. */
	keepsNames: boolean | undefined;
	/** The id of the queue, once it is open. A copy of it has the same one. */
	queue: string | undefined;
	/** The version of its tables; 0 until it is open. */
	version = 0;
	/** Whether the functions of this program are there, once it is open. */
	hasFunctions = false;
	/** The id, and those of its server and its database. */
	place: string | undefined;
	#opened: Promise<void> | undefined;
	#calls = 0;

	constructor(url: string, schema: string, context: CallContext, {pool, isReadOnly = false, onlyTables = false, maxAnswerMs = 10_000}: DatabaseOptions) {
		this.#how = {isReadOnly, onlyTables};
		this.#connections = new Connections(url, pool);
		this.#answers = new PendingStatements(this.#connections.pool, maxAnswerMs);
		this.clock = new ServerClock(context.now);
		this.#schema = schema;
		this.#functions = functionsOf(schema);
		this.#context = context;
	}

	/** Opens the queue: makes the schema if it does not exist. */
	async open(): Promise<void> {
		// If it fails, the next call tries again.
		this.#opened ??= (async () => {
			try {
				const send: Send = (text, values) => this.#send(text, values);
				const how = {...this.#how, known: this.queue};
				const {queue, version: tables, hasFunctions} = await migrate(send, this.#schema, how);
				this.queue = queue;
				this.version = tables;
				this.hasFunctions = hasFunctions;
				const askedAt = Date.now();
				const [answer] = await send<{now: number}>('select (extract(epoch from clock_timestamp()) * 1000)::bigint as now');
				if (answer) this.clock.note(answer.now, askedAt);
				this.place = `${this.queue}-${await placeOf(send)}`;
				// They rise also from one life of an owner to the next, which may have the same name.
				this.#calls = (answer?.now ?? askedAt) * 1000;
			} catch (error) {
				this.#opened = undefined;
				throw error;
			}
		})();
		await this.#opened;
	}

	/** True if the schema has been made. */
	async exists(): Promise<boolean> {
		return (await installedIn((text, values) => this.#send(text, values), this.#schema)) !== undefined;
	}

	/**
	 * Runs a statement, in which `@.` stands for the schema of the tables, and `@@.` for that of the functions. While the server is away, it waits and tries again, for a while.
	 * @param isRepeatable true if it is sent again when its connection is lost: it reads, or does no more the second time
	 */
	async query<Row>(text: string, values: readonly unknown[] = [], isRepeatable = true): Promise<Row[]> {
		let deadlocks = 0;
		for (let waitMs = 10; ; waitMs = Math.min(2 * waitMs, MAX_WAIT_MS)) {
			try {
				return await this.#queryOnce(text, values, isRepeatable);
			} catch (error) {
				// It has done nothing.
				if (codeOf(error) === DEADLOCK && deadlocks++ < MAX_DEADLOCKS) continue;
				// The store has not been opened, or the call may have taken effect.
				if (!(error instanceof FaenaError) || error.code !== 'Unreachable' || !this.#mayWait()) throw error;
			}
			await sleep(waitMs);
		}
	}

	/** Runs a statement that may be sent twice, and does not wait for a server that is away: for parts of a commit. */
	ask<Row>(text: string, values: readonly unknown[]): Promise<Row[]> {
		return this.#queryOnce(text, values, true);
	}

	/** @param isRepeatable false if the caller must hear that it may have taken effect */
	async #queryOnce<Row>(text: string, values: readonly unknown[], isRepeatable: boolean, name?: string): Promise<Row[]> {
		await this.open();
		const send = () => this.#send<Row>(this.#own(text), values, isRepeatable, name);
		const rows = await send().catch(async error => {
			if (codeOf(error) !== NO_SCHEMA) throw error;
			// Nobody has seen that this program uses its functions: a pooler gives it other connections.
			this.#opened = undefined;
			await this.open();
			return send();
		});
		this.#connections.reached();
		return rows;
	}

	/** The statement for the schemas. */
	#own(text: string): string {
		return text.replace(/@?@\./g, name => `${pg.escapeIdentifier(name === '@.' ? this.#schema : this.#functions)}.`);
	}

	/** False before the first call that has reached the server: then it may be the wrong one. */
	#mayWait(): boolean {
		return this.#opened !== undefined && this.#connections.mayComeBack();
	}

	/** Calls a function that takes and returns JSON. */
	async call<Name extends keyof Calls>(name: Name, call: Calls[Name]['takes'], isRepeatable = false): Promise<Calls[Name]['answers']> {
		return (await this.list(name, call, isRepeatable))[0] as Calls[Name]['answers'];
	}

	/** Calls the function `commit`, whose values are apart from its JSON. It does not wait for a server that is away: a dispatcher has its own way. */
	async commit<Row>(call: Calls['commit']['takes'], {texts, bytes}: CallValues): Promise<Row[]> {
		await this.open();
		const values = [this.#json(call), textArray(texts), byteaArray(bytes)];
		const send = (name?: string) => this.#queryOnce<Row>('select * from @@.commit($1::jsonb, $2::text[], $3::bytea[])', values, false, name);
		if (!this.keepsNames) return send();
		try {
			return await send(`${this.#functions.slice(-10)} ${this.queue}`);
		} catch (error) {
			if (!NAME_LOST.has(codeOf(error))) throw error;
			this.keepsNames = false;
			return send();
		}
	}

	/** Calls a function that returns any number of JSON values. */
	async list<Name extends keyof Calls>(name: Name, call: Calls[Name]['takes'], isRepeatable = true): Promise<Calls[Name]['answers'][]> {
		await this.open();
		const values = [this.#json(call as object)];
		const rows = await this.query<{result: Calls[Name]['answers']}>(`select @@.${name}($1::jsonb) as result`, values, isRepeatable);
		return rows.map(({result}) => result);
	}

	#json(call: object): string {
		const {now, ...context} = this.#context;
		return JSON.stringify({queue: this.queue, now: now?.(), ...context, number: ++this.#calls, ...call});
	}

	/** Not `isRepeatable`: the caller must hear that it may have taken effect. `name`: of a statement that the connection parses and plans once. */
	async #send<Row>(text: string, values: readonly unknown[] = [], isRepeatable = true, name?: string): Promise<Row[]> {
		const send = async (client: PostgresClient) => {
			await this.#share(client);
			return (await this.#answers.ask(client, {text, ...defined({name}), values: values as unknown[], types: TYPES})) as Row[];
		};
		return this.#connections.use(send, error => {
			// After a failover it may be a matter of seconds.
			if (isReadOnly(error) && this.queue !== undefined && !this.#how.isReadOnly) return unreachable(error, this.#connections.name);
			return translate(error, this.#connections.name, !isRepeatable);
		});
	}

	/** Shares the lock of the functions, as long as the connection lasts. */
	async #share(client: PostgresClient): Promise<void> {
		if (this.#sharing.has(client)) return;
		await this.#answers.ask(client, {text: 'select pg_advisory_lock_shared(hashtext($1), 4)', values: [this.#functions]});
		this.#sharing.add(client);
	}

	/** True for a program's pool that has no connection to spare for listening. */
	get hasOneConnection(): boolean {
		return this.#connections.pool.options?.max === 1;
	}

	/** Wakes the listeners of other stores; by the connection that listens, if there is one: on another one the functions would have to be planned. */
	async tellOthers(listening?: Listening): Promise<void> {
		const {store} = this.#context;
		if (listening) await listening.ask({text: this.#own(TELL), values: [store]});
		else await this.query(TELL, [store]);
	}

	/** Listens on a connection of its own. */
	async listen(to: Heard): Promise<Listening> {
		const [found] = await this.query<{name: string}>('select @.channel() as name');
		const listening = new Listening(await this.#connections.pool.connect(), this.#answers, this.#context.store, to);
		try {
			await listening.ask({text: `listen ${pg.escapeIdentifier(found?.name as string)}`});
			return listening;
		} catch (error) {
			listening.end();
			throw error;
		}
	}

	/** Calls don't wait any more for a server that is away. */
	beginClose(): void {
		this.#connections.isClosing = true;
	}

	async close(): Promise<void> {
		await this.#connections.close();
	}
}

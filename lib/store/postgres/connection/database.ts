import {hostname} from 'node:os';
import {setTimeout as sleep} from 'node:timers/promises';
import {systemClock} from '../../../support/clock.ts';
import {defined} from '../../../support/defined.ts';
import {FaenaError} from '../../../support/errors.ts';
import {version} from '../../../support/version.ts';
import type {PostgresClient, PostgresPool, PostgresQuery} from '../../postgres-client.ts';
import {byteaArray, textArray} from './binary-arrays.ts';
import type {CallValues} from './call-values.ts';
import type {Calls} from './calls.ts';
import {type ClientConfig, type Pool, pg} from './driver.ts';
import {installedIn, migrate, type Send} from './migrate.ts';
import {codeOf, isConnectionLost, isReadOnly, nameOfDatabase, translate, unreachable} from './postgres-errors.ts';
import {functionsOf} from './schema.ts';
import {findOut} from './silence.ts';

/** The most connections of a store; one of them listens. */
const MAX_CONNECTIONS = 5;
const MAX_CALLS = MAX_CONNECTIONS - 1;

/** PostgreSQL cuts longer names. */
const MAX_NAME_BYTES = 63;

/** How long calls wait for a server that is away, from the first one that has not reached it. */
const MAX_AWAY_MS = 10_000;
const MAX_WAIT_MS = 1000;
/** How long a program waits for a connection. */
const MAX_CONNECT_MS = 10_000;
/** How long a call does, once the server has been away for {@link MAX_AWAY_MS}: the calls of an engine follow each other. */
const MAX_CONNECT_WHILE_AWAY_MS = 1000;
const KEEP_ALIVE_AFTER_MS = 10_000;
/** An answer that took longer says too little about the server's time. */
const MAX_TOLD_MS = 1000;
/** An answer that the server has sent is here within this time. */
const MAX_WAY_MS = 1000;

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

/** A statement that waits for its answer. */
interface Sent {
	readonly client: PostgresClient;
	/** By the steady clock. */
	readonly at: number;
	/** Ends its connection, and with it the wait. */
	readonly end: () => void;
}

const ignore = (): void => {};

/** The options of a connection. */
export function connectionTo(url: string): ClientConfig {
	return {
		...{connectionString: url, connectionTimeoutMillis: MAX_CONNECT_MS},
		fallback_application_name: `faena ${version} ${hostname()}:${process.pid}`.slice(0, MAX_NAME_BYTES),
		// A connection that waits for an answer sends nothing: without this it would not notice that the server's machine is gone.
		...{keepAlive: true, keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS},
	};
}

function openPool(url: string): Pool {
	// Connections stay: on a new one, the functions are compiled and planned anew, which takes some 100 ms.
	const pool = new pg.Pool({...connectionTo(url), max: MAX_CONNECTIONS, idleTimeoutMillis: 0});
	// A connection that ends while it is idle is replaced. Without a listener it would end the program.
	pool.on('error', ignore);
	// A server may end a connection in the packet that says it is ready, before the call that waits for it can listen.
	pool.on('connect', client => client.on('error', () => {}));
	return pool;
}

/** The URL of a pool's connections, for another thread. `undefined` if they have options that no URL can have, such as a function as password. */
export function urlOfPool({options = {}}: PostgresPool): string | undefined {
	const {connectionString, host = '', port, user, password, database = '', ssl} = options;
	if (typeof Object(ssl) === 'object' && ssl === Object(ssl)) return undefined;
	if (connectionString !== undefined) return /^postgres(ql)?:/i.test(connectionString) ? connectionString : undefined;
	if (password !== undefined && password !== null && typeof password !== 'string') return undefined;
	const url = new URL('postgres://localhost');
	url.username = encodeURIComponent(user ?? '');
	url.password = encodeURIComponent(password ?? '');
	url.port = `${port ?? ''}`;
	url.pathname = encodeURIComponent(database);
	if (ssl) url.searchParams.set('sslmode', 'verify-full');
	// As a parameter, it may be the folder of a socket.
	if (host !== '') url.searchParams.set('host', host);
	return url.href;
}

/** A connection that comes later is there for the next call. */
async function connectedSoon(connecting: Promise<PostgresClient>): Promise<PostgresClient> {
	const client = await Promise.race([connecting, sleep(MAX_CONNECT_WHILE_AWAY_MS, undefined, {ref: false})]);
	if (client) return client;
	connecting.then(late => late.release(), ignore);
	throw new Error('timeout expired');
}

/** A connection that listens. */
export interface Listening {
	/** Wakes the listeners of other stores. Without another connection, whose functions would have to be planned. */
	tellOthers(): Promise<void>;
	end(): void;
}

/** Codes of a statement whose name the connection does not know, or has for another client. It has done nothing. */
const NAME_LOST: ReadonlySet<string> = new Set(['26000', '42P05']);

const DEADLOCK = '40P01';
const NO_SCHEMA = '3F000';
const MAX_DEADLOCKS = 10;

const TELL = 'select @@.tell_others($1)';

/** True if a queue has been made there. */
export async function schemaExists(url: string, schema: string): Promise<boolean> {
	const database = new Database(url, schema, {store: 0, host: '', relaxed: false, now: undefined}, {isReadOnly: true});
	try {
		return await database.exists();
	} finally {
		await database.close();
	}
}

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
	readonly #pool: PostgresPool;
	readonly #isOwnPool: boolean;
	readonly #isReadOnly: boolean;
	readonly #onlyTables: boolean;
	readonly #schema: string;
	/** The schema of its functions. */
	readonly #functions: string;
	/** The statements for these schemas, by their text here. */
	readonly #statements = new Map<string, string>();
	/** Connections that share the lock of the functions, which nobody drops meanwhile. */
	readonly #sharing = new WeakSet<PostgresClient>();
	/** For messages. */
	readonly #name: string;
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
	readonly #maxAnswerMs: number;
	readonly #sent = new Set<Sent>();
	/** When the server has last answered, by the steady clock. */
	#answeredAt = systemClock.steadyMs();
	/** The look for calls that have waited long. There is one at a time, since it takes a connection more. */
	#look: Promise<void> | undefined;
	/** The number of calls that have a connection, or are about to, and those that wait. */
	#calling = 0;
	readonly #waiting: (() => void)[] = [];
	/** Loses the connections that listen, as if they were cut. */
	readonly #listening = new Set<() => void>();
	/** When a call has not reached the server for the first time since one has, by the steady clock. */
	#awaySince: number | undefined;
	#isClosing = false;
	#aheadMs: number | undefined;

	constructor(url: string, schema: string, context: CallContext, {pool, isReadOnly = false, onlyTables = false, maxAnswerMs = 10_000}: DatabaseOptions) {
		this.#isReadOnly = isReadOnly;
		this.#onlyTables = onlyTables;
		this.#maxAnswerMs = maxAnswerMs;
		this.#pool = pool ?? openPool(url);
		this.#isOwnPool = pool === undefined;
		this.#schema = schema;
		this.#functions = functionsOf(schema);
		this.#name = nameOfDatabase(url);
		this.#context = context;
	}

	/** Opens the queue: makes the schema if it does not exist. */
	async open(): Promise<void> {
		// If it fails, the next call tries again.
		this.#opened ??= (async () => {
			try {
				const send: Send = (text, values) => this.#send(text, values);
				const how = {isReadOnly: this.#isReadOnly, onlyTables: this.#onlyTables, known: this.queue};
				const {queue, version: tables, hasFunctions} = await migrate(send, this.#schema, how);
				this.queue = queue;
				this.version = tables;
				this.hasFunctions = hasFunctions;
				const askedAt = Date.now();
				const [answer] = await send<{now: number}>('select (extract(epoch from clock_timestamp()) * 1000)::bigint as now');
				if (answer) this.noteTime(answer.now, askedAt);
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

	/** How far the server's clock is ahead of this machine's, in milliseconds; 0 until it has answered, and if tests have given the time. */
	get aheadMs(): number {
		return this.#context.now ? 0 : (this.#aheadMs ?? 0);
	}

	/** The server's time, or the one given for tests, in milliseconds since 1970. */
	now(): number {
		return this.#context.now?.() ?? Math.round(Date.now() + this.aheadMs);
	}

	/**
	 * Notes the server's time, which an answer has brought.
	 * @param askedAt when it was asked, by this machine's clock
	 */
	noteTime(serverMs: number, askedAt: number): void {
		const now = Date.now();
		// An answer may have waited, for instance because this program was suspended.
		if (this.#aheadMs === undefined || Math.abs(now - askedAt) < MAX_TOLD_MS) this.#aheadMs = serverMs - (askedAt + now) / 2;
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
		this.#awaySince = undefined;
		return rows;
	}

	/** The statement for the schemas. */
	#own(text: string): string {
		const known = this.#statements.get(text);
		if (known !== undefined) return known;
		const own = text.replace(/@?@\./g, name => `${pg.escapeIdentifier(name === '@.' ? this.#schema : this.#functions)}.`);
		this.#statements.set(text, own);
		return own;
	}

	/** False before the first call that has reached the server: then it may be the wrong one. */
	#mayWait(): boolean {
		if (!this.#opened || this.#isClosing) return false;
		this.#awaySince ??= systemClock.steadyMs();
		return this.#awayMs() < MAX_AWAY_MS;
	}

	/** How long the server has been away; 0 if it was there for the last call. */
	#awayMs(): number {
		return this.#awaySince === undefined ? 0 : systemClock.steadyMs() - this.#awaySince;
	}

	/** Calls a function that takes and returns JSON. */
	async call<Name extends keyof Calls>(name: Name, call: Calls[Name]['takes'], isRepeatable = false): Promise<Calls[Name]['answers']> {
		await this.open();
		const [row] = await this.query<{result: Calls[Name]['answers']}>(`select @@.${name}($1::jsonb) as result`, [this.#json(call as object)], isRepeatable);
		return row?.result as Calls[Name]['answers'];
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
	async list<Name extends keyof Calls>(name: Name, call: Calls[Name]['takes']): Promise<Calls[Name]['answers'][]> {
		await this.open();
		return (await this.query<{result: Calls[Name]['answers']}>(`select @@.${name}($1::jsonb) as result`, [this.#json(call as object)])).map(
			({result}) => result,
		);
	}

	#json(call: object): string {
		const {now, ...context} = this.#context;
		return JSON.stringify({queue: this.queue, now: now?.(), ...context, number: ++this.#calls, ...call});
	}

	/**
	 * @param isRepeatable false if the caller must hear that it may have taken effect
	 * @param name by which the connection knows the statement, so that it is parsed and planned once
	 */
	async #send<Row>(text: string, values: readonly unknown[] = [], isRepeatable = true, name?: string): Promise<Row[]> {
		const client = await this.#connect();
		let isLost = false;
		// A connection that is lost reports it twice: its query fails, and without a listener the program would end.
		client.on('error', ignore);
		try {
			await this.#share(client);
			return (await this.#ask(client, {text, ...defined({name}), values: values as unknown[], types: TYPES})) as Row[];
		} catch (error) {
			isLost = isConnectionLost(error) || isReadOnly(error);
			// After a failover it may be a matter of seconds.
			if (isReadOnly(error) && this.queue !== undefined && !this.#isReadOnly) throw unreachable(error, this.#name);
			throw translate(error, this.#name, !isRepeatable);
		} finally {
			client.off('error', ignore);
			client.release(isLost);
			this.#leave();
		}
	}

	/** Takes a connection. Calls take turns here: the pool would give up those that wait for a connection as long as one may take to be made. */
	async #connect(): Promise<PostgresClient> {
		if (this.#isOwnPool && this.#calling >= MAX_CALLS) await new Promise<void>(resolve => this.#waiting.push(resolve));
		else this.#calling++;
		try {
			const connecting = this.#pool.connect();
			return await (this.#awayMs() < MAX_AWAY_MS ? connecting : connectedSoon(connecting));
		} catch (error) {
			this.#leave();
			if (isConnectionLost(error)) this.#awaySince ??= systemClock.steadyMs();
			throw translate(error, this.#name, false);
		}
	}

	/** Shares the lock of the functions, as long as the connection lasts. */
	async #share(client: PostgresClient): Promise<void> {
		if (this.#sharing.has(client)) return;
		await this.#ask(client, {text: 'select pg_advisory_lock_shared(hashtext($1), 4)', values: [this.#functions]});
		this.#sharing.add(client);
	}

	/** Lets the next call take a connection. */
	#leave(): void {
		const next = this.#waiting.shift();
		if (next) next();
		else this.#calling--;
	}

	/** Sends a statement. If the answer does not come, its connection may be ended: otherwise it would wait until the network gives up, which takes minutes. */
	async #ask(client: PostgresClient, query: PostgresQuery, end: () => void = () => client.end?.()): Promise<unknown[]> {
		const sent = {client, at: systemClock.steadyMs(), end};
		this.#sent.add(sent);
		const stop = systemClock.every(this.#maxAnswerMs, () => {
			this.#look ??= this.#lookForCalls().finally(() => {
				this.#look = undefined;
			});
		});
		try {
			const {rows} = await client.query(query);
			this.#answeredAt = systemClock.steadyMs();
			return rows;
		} catch (error) {
			if (!isConnectionLost(error)) this.#answeredAt = systemClock.steadyMs();
			throw error;
		} finally {
			stop();
			this.#sent.delete(sent);
		}
	}

	/** Calls have waited long for their answers. Ends the connections of those that the server does not know, and all if the server is gone. */
	async #lookForCalls(): Promise<void> {
		const begunAt = systemClock.steadyMs();
		const late = [...this.#sent].filter(({at}) => begunAt - at > this.#maxAnswerMs / 2);
		const {isSilent, idle} = await findOut(
			late.flatMap(({client}) => client.processID ?? []),
			this.#pool,
			this.#maxAnswerMs,
		);
		if (idle.length > 0) {
			await sleep(MAX_WAY_MS);
			for (const sent of late) if (this.#sent.has(sent) && idle.includes(sent.client.processID as number)) sent.end();
		}
		// Answers may have come just now, if the program was suspended.
		await systemClock.nextTurn();
		if (!isSilent || systemClock.steadyMs() - this.#answeredAt < this.#maxAnswerMs) return;
		for (const {at, end} of this.#sent) if (at < begunAt) end();
		for (const lose of this.#listening) lose();
	}

	/** True for a program's pool that has no connection to spare for listening. */
	get hasOneConnection(): boolean {
		return this.#pool.options?.max === 1;
	}

	/** Wakes the listeners of other stores. */
	async tellOthers(): Promise<void> {
		await this.query(TELL, [this.#context.store]);
	}

	/**
	 * Listens on a connection of its own: to notifications of other stores (`heard`) and of this one (`own`). `lost` is called once, if the connection is.
	 */
	async listen({heard, own, lost}: Readonly<Record<'heard' | 'own' | 'lost', () => void>>): Promise<Listening> {
		const [found] = await this.query<{name: string}>('select @.channel() as name');
		const client = await this.#pool.connect();
		const {store} = this.#context;
		// LISTEN is the first.
		let asked = 1;
		const notified = ({payload}: {readonly payload?: string | undefined}) => {
			// A pooler may pass a notification on with an answer, and never without one.
			if (payload !== `${store}`) heard();
			else if (asked === 0) own();
		};
		let isEnded = false;
		const end = () => {
			if (isEnded) return;
			isEnded = true;
			this.#listening.delete(lose);
			client.off('notification', notified);
			client.release(true);
		};
		const lose = () => {
			if (isEnded) return;
			end();
			lost();
		};
		this.#listening.add(lose);
		client.on('notification', notified);
		client.on('error', lose);
		try {
			await this.#ask(client, {text: `listen ${pg.escapeIdentifier(found?.name as string)}`}, lose);
			asked--;
		} catch (error) {
			end();
			throw error;
		}
		const tell = this.#own(TELL);
		return {
			end,
			tellOthers: async () => {
				asked++;
				await this.#ask(client, {text: tell, values: [store]}, lose).finally(() => asked--);
			},
		};
	}

	/** Calls don't wait any more for a server that is away. */
	beginClose(): void {
		this.#isClosing = true;
	}

	async close(): Promise<void> {
		if (this.#isOwnPool) await this.#pool.end?.();
	}
}

import {hostname} from 'node:os';
import {setTimeout as sleep} from 'node:timers/promises';
import {systemClock} from '../../../support/clock.ts';
import {version} from '../../../support/version.ts';
import type {PostgresClient, PostgresPool} from '../../postgres-client.ts';
import {type ClientConfig, type Pool, pg} from './driver.ts';
import {isConnectionLost, isReadOnly, nameOfDatabase, translate} from './postgres-errors.ts';

/** The most connections of a store; one of them listens. */
const MAX_CONNECTIONS = 5;
const MAX_CALLS = MAX_CONNECTIONS - 1;

/** PostgreSQL cuts longer names. */
const MAX_NAME_BYTES = 63;

/** How long calls wait for a server that is away, from the first one that has not reached it. */
const MAX_AWAY_MS = 10_000;
/** How long a program waits for a connection. */
const MAX_CONNECT_MS = 10_000;
/** How long a call does, once the server has been away for {@link MAX_AWAY_MS}: the calls of an engine follow each other. */
const MAX_CONNECT_WHILE_AWAY_MS = 1000;
const KEEP_ALIVE_AFTER_MS = 10_000;

const ignore = (): void => {};

/** The connections of a store, and whether the server can be reached. Calls take turns: the pool would give up those that wait as long as a connection may take to be made. */
export class Connections {
	readonly pool: PostgresPool;
	/** The database, for messages. */
	readonly name: string;
	/** False for a program's own pool, which stays open. */
	readonly #isOwn: boolean;
	/** The number of calls that have a connection, or are about to, and those that wait. */
	#calling = 0;
	readonly #waiting: (() => void)[] = [];
	/** When a call has not reached the server for the first time since one has, by the steady clock. */
	#awaySince: number | undefined;
	/** While the store closes, calls don't wait for a server that is away. */
	isClosing = false;

	constructor(url: string, pool: PostgresPool | undefined) {
		this.pool = pool ?? openPool(url);
		this.#isOwn = pool === undefined;
		this.name = nameOfDatabase(url);
	}

	/** Runs statements on a connection. `toError` makes the error to throw from one of these. */
	async use<Result>(run: (client: PostgresClient) => Promise<Result>, toError: (error: unknown) => unknown): Promise<Result> {
		const client = await this.#connect();
		let isLost = false;
		// A connection that is lost reports it twice: its query fails, and without a listener the program would end.
		client.on('error', ignore);
		try {
			return await run(client);
		} catch (error) {
			isLost = isConnectionLost(error) || isReadOnly(error);
			throw toError(error);
		} finally {
			client.off('error', ignore);
			client.release(isLost);
			this.#leave();
		}
	}

	async #connect(): Promise<PostgresClient> {
		if (this.#isOwn && this.#calling >= MAX_CALLS) await new Promise<void>(resolve => this.#waiting.push(resolve));
		else this.#calling++;
		try {
			const connecting = this.pool.connect();
			return await (this.#awayMs() < MAX_AWAY_MS ? connecting : connectedSoon(connecting));
		} catch (error) {
			this.#leave();
			if (isConnectionLost(error)) this.#awaySince ??= systemClock.steadyMs();
			throw translate(error, this.name, false);
		}
	}

	/** Lets the next call take a connection. */
	#leave(): void {
		const next = this.#waiting.shift();
		if (next) next();
		else this.#calling--;
	}

	/** A call has reached the server. */
	reached(): void {
		this.#awaySince = undefined;
	}

	/** A call has not reached the server. Returns whether the next try is worth a wait. */
	mayComeBack(): boolean {
		if (this.isClosing) return false;
		this.#awaySince ??= systemClock.steadyMs();
		return this.#awayMs() < MAX_AWAY_MS;
	}

	/** How long the server has been away; 0 if it was there for the last call. */
	#awayMs(): number {
		return this.#awaySince === undefined ? 0 : systemClock.steadyMs() - this.#awaySince;
	}

	async close(): Promise<void> {
		if (this.#isOwn) await this.pool.end?.();
	}
}

/** A connection that comes later is there for the next call. */
async function connectedSoon(connecting: Promise<PostgresClient>): Promise<PostgresClient> {
	const client = await Promise.race([connecting, sleep(MAX_CONNECT_WHILE_AWAY_MS, undefined, {ref: false})]);
	if (client) return client;
	connecting.then(late => late.release(), ignore);
	throw new Error('timeout expired');
}

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

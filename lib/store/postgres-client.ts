/** What Faena needs of the driver `pg`, as types of its own: a program that uses no PostgreSQL need not have those of the driver. */

/** A Pool of `pg`. @example const pool: PostgresPool = new pg.Pool(); */
export interface PostgresPool {
	/** As that of `pg`. */
	connect(): Promise<PostgresClient>;
	/** As that of `pg`. Faena does not call it on a pool of the program's. */
	end?(): Promise<void>;
	/** With a `max` of 1, Faena does not listen to notifications, since that takes a connection of its own. */
	readonly options?: PostgresPoolOptions;
	/** As that of `pg`, with which Faena makes a connection of its own for a moment, if a call waits long for its answer. Without it, such a call waits on. */
	readonly Client?: new (
		options: object,
	) => PostgresConnection;
}

/** A Client of `pg` that belongs to no pool. @example const connection: PostgresConnection = new pg.Client(); */
export interface PostgresConnection {
	/** As that of `pg`: a text, or a function that returns it. */
	password?: unknown;
	/** As that of `pg`. */
	readonly processID?: number | null;
	/** As that of `pg`. */
	on(event: 'error', listener: () => void): unknown;
	/** As that of `pg`. */
	connect(): Promise<unknown>;
	/** As that of `pg`. */
	query(config: PostgresQuery): Promise<{readonly rows: unknown[]}>;
	/** As that of `pg`. */
	end(): Promise<void>;
}

/** Options of a {@link PostgresPool}, as those of `pg`. `work()` makes a connection like those of the pool, for the thread of its heartbeat.
 * @example const {max}: PostgresPoolOptions = pool.options; */
export interface PostgresPoolOptions {
	/** The most connections. */
	readonly max?: number | undefined;
	/** The URL of the database. */
	readonly connectionString?: string | undefined;
	/** Its machine, or the folder of its socket. */
	readonly host?: string | undefined;
	/** Its port. */
	readonly port?: number | undefined;
	/** The role that connects. */
	readonly user?: string | undefined;
	/** Its password, or a function that gives it. */
	readonly password?: unknown;
	/** The name of the database. */
	readonly database?: string | undefined;
	/** How the connection is encrypted, as `pg` takes it. */
	readonly ssl?: unknown;
}

/** A client of a {@link PostgresPool}. @example const one = (client: PostgresClient) => client.query({text: 'select 1'}); */
export interface PostgresClient {
	/** As that of `pg`. */
	query(config: PostgresQuery): Promise<{readonly rows: unknown[]}>;
	/** As that of `pg`. */
	on(event: 'error' | 'notification', listener: (event: {readonly payload?: string | undefined}) => void): unknown;
	/** As that of `pg`. */
	off(event: 'error' | 'notification', listener: (event: {readonly payload?: string | undefined}) => void): unknown;
	/** As that of `pg`: gives the client back, or ends its connection. */
	release(destroy?: boolean): void;
	/** As that of `pg`: ends the connection, also while a statement runs. */
	end?(): unknown;
	/** As that of `pg`: the process of the server. */
	readonly processID?: number | null;
}

/** A statement, as `pg` takes it. @example const query: PostgresQuery = {text: 'select 1'}; */
export interface PostgresQuery {
	/** The name by which the connection keeps the statement. */
	name?: string;
	/** The statement, in which `$1` stands for the first value. */
	text: string;
	/** Its values. */
	values?: unknown[];
	/** How columns are read; the driver has a type of its own for it. */
	// biome-ignore lint/suspicious/noExplicitAny: see above
	types?: any;
}

/** The transaction of a program: a Client or a Pool of `pg`, or anything that sends statements to the server as they do.
 * @example const within = (client: PostgresTransaction) => enqueueIn(client, 'sendReceipt', 17); */
export interface PostgresTransaction {
	/** As that of a Client of `pg`. Without a transaction, each statement is one. */
	// biome-ignore lint/suspicious/noExplicitAny: rows of any query
	query(text: string, values: any[]): Promise<{readonly rows: readonly any[]}>;
}

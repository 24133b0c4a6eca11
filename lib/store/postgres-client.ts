/** What Faena needs of the driver `pg`, as types of its own: a program that uses no PostgreSQL need not have those of the driver. */

/** A Pool of `pg`. */
export interface PostgresPool {
	connect(): Promise<PostgresClient>;
	end?(): Promise<void>;
	readonly options?: {readonly max?: number | undefined};
}

/** A client of a {@link PostgresPool}. */
export interface PostgresClient {
	query(config: PostgresQuery): Promise<{readonly rows: unknown[]}>;
	on(event: 'error' | 'notification', listener: (event: {readonly payload?: string | undefined}) => void): unknown;
	off(event: 'error' | 'notification', listener: (event: {readonly payload?: string | undefined}) => void): unknown;
	release(destroy?: boolean): void;
}

export interface PostgresQuery {
	text: string;
	values?: unknown[];
	// biome-ignore lint/suspicious/noExplicitAny: the driver has a type of its own for it
	types?: any;
}

/** The transaction of a program: a Client or a Pool of `pg`, or anything that sends statements to the server as they do. */
export interface PostgresTransaction {
	// biome-ignore lint/suspicious/noExplicitAny: rows of any query
	query(text: string, values: any[]): Promise<{readonly rows: readonly any[]}>;
}

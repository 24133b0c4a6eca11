/** A connection that a program opened itself: a `Database` of better-sqlite3, whichever version and copy of it. */
export interface OwnConnection {
	readonly name: string;
	readonly open: boolean;
	readonly readonly: boolean;
	prepare(sql: string): object;
	pragma(source: string, options: {readonly simple: true}): unknown;
	transaction(run: () => void): {immediate(): void};
}

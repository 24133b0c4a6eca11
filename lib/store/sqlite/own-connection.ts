/** A connection that a program opened itself: a `Database` of the copy of better-sqlite3 that Faena uses (see `one-library.ts`). */
export interface OwnConnection {
	readonly name: string;
	readonly open: boolean;
	readonly readonly: boolean;
	prepare(sql: string): object;
	pragma(source: string, options: {readonly simple: true}): unknown;
	transaction(run: () => void): {immediate(): void};
}

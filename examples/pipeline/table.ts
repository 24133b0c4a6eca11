import Database from 'better-sqlite3';
import type {Row} from './row.ts';

/** The table of customers, in a database of the program's own beside the queue's. */
export class Table {
	readonly #database: Database.Database;

	constructor(file: string) {
		this.#database = new Database(file);
		this.#database.exec('create table if not exists customer (line integer primary key, name text, person text, cents integer, error text) strict');
	}

	/** Inserts all rows or none. Returns how many are new. */
	insert(rows: readonly Row[]): number {
		const insert = this.#database.prepare<Row>('insert into customer values (:line, :name, :person, :cents, :error) on conflict do nothing');
		return this.#database.transaction(() => rows.reduce((inserted, row) => inserted + insert.run(row).changes, 0)).immediate();
	}

	get size(): number {
		return this.#database.prepare<[], number>('select count(*) from customer').pluck().get() as number;
	}

	/** All rows, in the order of their lines. */
	rows(): IterableIterator<Row> {
		return this.#database.prepare<[], Row>('select line, name, person, cents, error from customer order by line').iterate();
	}

	close(): void {
		this.#database.close();
	}
}

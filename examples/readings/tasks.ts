import {createHash} from 'node:crypto';
import Database from 'better-sqlite3';
import {type TaskContext, task} from 'faena';

export interface Line {
	/** The number of the line in the file, from 1. */
	readonly line: number;
	readonly text: string;
}

export interface Reading {
	readonly line: number;
	readonly station: string;
	/** Milliseconds since 1970. */
	readonly at: number;
	readonly celsius: number;
}

export interface Row extends Reading {
	readonly fahrenheit: number;
	/** Equal for readings of one station. The table need not have its name. */
	readonly code: string;
}

/** Reads lines. What is no reading is left out: the other lines of the job are good. */
export function parse(lines: readonly Line[]): Reading[] {
	return lines.flatMap(({line, text}) => readLine(line, text) ?? []);
}

function readLine(line: number, text: string): Reading | undefined {
	try {
		const {station, at, celsius} = JSON.parse(text) as {station: string; at: string; celsius: string};
		const reading = {line, station, at: Date.parse(at), celsius: Number(celsius)};
		return Number.isNaN(reading.at) || Number.isNaN(reading.celsius) ? undefined : reading;
	} catch {
		return undefined;
	}
}

export function enrich(readings: readonly Reading[]): Row[] {
	return readings.map(reading => ({
		...reading,
		fahrenheit: Math.round(reading.celsius * 18 + 320) / 10,
		code: createHash('sha256').update(reading.station).digest('hex').slice(0, 12),
	}));
}

/**
 * Writes rows into the table, and returns how many there are. A kill can come between this commit and the one that completes the job. Then the job
 * writes its rows twice, which the table's key makes harmless. One job runs at a time, because SQLite has one writer.
 */
export const store = task(
	(rows: readonly Row[], {resource: database}: TaskContext<{resource: Database.Database}>): number => {
		const insert = database.prepare('insert into reading values (:line, :code, :at, :celsius, :fahrenheit) on conflict do nothing');
		database.transaction(() => rows.forEach(row => void insert.run(row))).immediate();
		return rows.length;
	},
	{
		concurrency: 1,
		setup() {
			const database = new Database(process.env['READINGS_DB'] as string);
			database.exec('create table if not exists reading (line integer primary key, code text, at integer, celsius real, fahrenheit real) strict');
			return database;
		},
		teardown: database => database.close(),
	},
);

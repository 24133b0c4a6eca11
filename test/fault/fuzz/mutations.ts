import Database from 'better-sqlite3';
import {between, pick} from '../../fixtures/random.ts';

type Random = () => number;

/** What parsers have tripped over. */
const PIECES: readonly (string | readonly number[])[] = [
	...['{', '[', '"', '\\', ',', ':', 'null', '1e999', '-0', '-1', '"$":', '{"$":["undefined"]}', '"__proto__":', '\\ud800', '9'.repeat(40), '['.repeat(5000)],
	...['"map"', '"set"', '"error"', '"object"', '"number"', '"bigint"', '"date"', '"ArrayBuffer"', '"Float64Array"', '"constructor"'],
	[0],
	[1],
	[2],
	[3],
	[0xff, 0xff, 0xff, 0xff],
	[0xff, 0xff, 0xff, 0x7f],
	[0, 0, 0, 0x80],
	[0xed, 0xa0, 0x80],
	[0xc0, 0x80],
	[0xef, 0xbb, 0xbf],
];

const MUTATIONS: readonly ((bytes: Buffer, random: Random, other: Buffer) => Buffer)[] = [
	(bytes, random) => {
		const changed = Buffer.from(bytes);
		if (changed.length > 0) (changed[between(random, 0, changed.length - 1)] as number) ^= 1 << between(random, 0, 7);
		return changed;
	},
	(bytes, random) => bytes.subarray(0, between(random, 0, bytes.length)),
	(bytes, random) => replaced(bytes, random, Buffer.from(pick(random, PIECES) as string)),
	(bytes, random, other) => {
		const start = between(random, 0, other.length);
		return replaced(bytes, random, other.subarray(start, start + between(random, 0, 50)));
	},
	// One digit or letter becomes another: what a parser hardly sees.
	(bytes, random) => {
		const places = [...bytes.toString('latin1').matchAll(/[\da-z]/g)].map(({index}) => index);
		const changed = Buffer.from(bytes);
		if (places.length > 0) changed[pick(random, places)] = pick(random, [...Buffer.from('0123456789aeinu')]);
		return changed;
	},
	(bytes, random, other) => Buffer.concat([bytes.subarray(0, between(random, 0, bytes.length)), other.subarray(between(random, 0, other.length))]),
];

/** The bytes with a small damage, or a few. */
export function mutated(bytes: Buffer, random: Random, other: Buffer): Buffer {
	let result = bytes;
	for (let count = random() < 0.5 ? 1 : between(random, 2, 4); count > 0; count--) result = pick(random, MUTATIONS)(result, random, other);
	return result;
}

function replaced(bytes: Buffer, random: Random, piece: Buffer): Buffer {
	const start = between(random, 0, bytes.length);
	return Buffer.concat([bytes.subarray(0, start), piece, bytes.subarray(start + between(random, 0, 2) * piece.length)]);
}

/** What may lie in a column; texts also as bytes that are no UTF-8. */
const CELLS: readonly unknown[] = [
	...[null, 0, -1, 1, 2, 5, 7, 99, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n, 1e300, -0.5, Number.NaN, Infinity, 1e15],
	...['', 'x', 'null', '5', '[]', '{}', '[1', '"', 'a\0b', '../secret', '__proto__', 'hash', 'nightly', 'dead', 'me', 'k1', "'; drop table job; --"],
	...['{"maxAttempts":1e999,"backoff":{}}', '{"task":"hash","priority":0,"policy":{}}', '[{"at":1,"ended":9e99}]', '{"$":["map",[1]]}', '9'.repeat(400)],
	...['[[['.repeat(5000), '{"a":'.repeat(5000), 'x'.repeat(70_000), `${'['.repeat(3000)}${']'.repeat(3000)}`],
	...[[], [1], [2], [3, 0xff], [9, 9], [0xff, 0xfe], [0xed, 0xa0, 0x80], [2, 0xff, 0xff, 0xff, 0xff], [2, 1, 0, 0, 0, 0x31]].map(bytes => Buffer.from(bytes)),
];

/**
 * Writes rows into the database that Faena would never write.
 * @returns what it did
 */
export function tampered(path: string, random: Random): string {
	const db = new Database(path);
	try {
		const done = Array.from({length: random() < 0.6 ? 1 : between(random, 2, 5)}, () => tamperOnce(db, random));
		return done.join('; ');
	} finally {
		db.close();
	}
}

function tamperOnce(db: Database.Database, random: Random): string {
	const table = pick(random, db.prepare("select name from sqlite_schema where type = 'table' and name not like 'sqlite%'").pluck().all() as string[]);
	const columns = (db.pragma(`table_info(${table})`) as {name: string}[]).map(({name}) => name);
	const column = pick(random, columns);
	const row = `(${columns.join()}) in (select ${columns.join()} from ${table} order by 1, 2 limit 1 offset ${between(random, 0, 9)})`;
	const where = random() < 0.5 ? row : 'true';
	const cell = pick(random, CELLS);
	const value = cell instanceof Buffer && random() < 0.5 ? 'cast(? as text)' : '?';
	const [sql, ...values] = pick<readonly [string, ...unknown[]]>(random, [
		...Array(12).fill([`update or ignore ${table} set ${column} = ${value} where ${where}`, cell]),
		[`delete from ${table} where ${where}`],
		[`insert or ignore into ${table} select ${columns.map(each => (each === column ? '?' : each)).join()} from ${table} where ${where} limit 3`, cell],
		[`drop index if exists ${pick(random, ['job_by_batch', 'waiting_by_time', 'claimed_to_stop', 'outcome_unhappy', 'log_by_job'])}`],
		[`create trigger if not exists evil before ${pick(random, ['insert', 'update', 'delete'])} on ${table} begin select raise(abort, 'evil'); end`],
		[`drop table ${table}`],
		[`alter table ${table} rename column ${column} to evil`],
	]);
	try {
		db.prepare(sql).run(...values);
	} catch {
		// A strict table has refused it.
	}
	const shown = values.map(each =>
		typeof each === 'string' ? JSON.stringify(each.slice(0, 30)) : each instanceof Buffer ? each.toString('hex') : String(each),
	);
	return [sql, ...shown].join(' ');
}

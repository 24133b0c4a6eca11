import {Readable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {CsvError, parse} from 'csv-parse';
import {DEFAULT_MAX_VALUE_BYTES, nearest} from '../../../internal/words.ts';
import {InputError} from '../../input-error.ts';
import type {Entry} from './items.ts';
import {atStart, type ByteSource, blocksOf, recordName} from './records.ts';

/** A table with a header: its columns, and its rows as objects by the names of the columns. */
export interface Table {
	readonly columns: readonly string[];
	readonly entries: AsyncIterable<Iterable<Entry>>;
}

/** Reads the header, and later the rows. @param key the column that names an item. @throws InputError if it is not CSV, or has no right header */
export async function tableOf(source: ByteSource, key: string | undefined): Promise<Table> {
	const rows = rowsOf(source);
	const header = await rows.next();
	if (header.done) throw new InputError(`${atStart(source.name)} is empty. With --csv its first line has the names of the columns.`);
	const columns = header.value.fields;
	checkHeader(columns, source.name);
	if (key !== undefined && !columns.includes(key)) throw new InputError(`${atStart(source.name)} has no column ${JSON.stringify(key)}${nearest(key, columns)}`);
	return {columns, entries: entriesOf(rows, columns, key)};
}

function checkHeader(columns: readonly string[], name: string): void {
	const empty = columns.indexOf('');
	if (empty >= 0) throw new InputError(`Column ${empty + 1} of ${name} has no name. With --csv each column has one in the first line.`);
	const again = columns.find((column, index) => columns.indexOf(column) !== index);
	if (again !== undefined) throw new InputError(`${atStart(name)} has two columns ${JSON.stringify(again)}. With --csv their names are distinct.`);
}

async function* entriesOf(rows: AsyncIterable<Row>, columns: readonly string[], key: string | undefined): AsyncGenerator<Iterable<Entry>> {
	const at = key === undefined ? undefined : columns.indexOf(key);
	for await (const {fields, where} of rows) {
		const entry = {values: [Object.fromEntries(columns.map((column, index) => [column, fields[index]]))], content: JSON.stringify(fields)};
		const name = at === undefined ? undefined : fields[at];
		if (name === '') throw new InputError(`${where} has nothing in the column ${key}, which --key names.`);
		yield [name === undefined ? entry : {...entry, key: name, where}];
	}
}

interface Row {
	readonly fields: readonly string[];
	/** `Line 2 of the input`. Of a row of several lines the last. */
	readonly where: string;
}

async function* rowsOf(source: ByteSource): AsyncGenerator<Row> {
	// What the parser doesn't check: that it is UTF-8.
	const parser = parse({bom: true, skip_empty_lines: true, record_delimiter: ['\r\n', '\n'], max_record_size: 2 * DEFAULT_MAX_VALUE_BYTES, info: true});
	// Its error comes through the parser, too.
	pipeline(Readable.from(bytesOf(source)), parser).catch(() => undefined);
	try {
		for await (const {record, info} of parser as AsyncIterable<{record: string[]; info: {lines: number}}>)
			yield {fields: record, where: recordName('\n', info.lines, source.name)};
	} catch (error) {
		throw error instanceof CsvError ? new InputError(describe(error, source.name), {cause: error}) : error;
	}
}

async function* bytesOf(source: ByteSource): AsyncGenerator<Buffer> {
	for await (const {bytes} of blocksOf(source, '\n')) yield bytes;
}

function describe(error: CsvError, name: string): string {
	const {code, lines, record} = error as CsvError & {readonly lines: number; readonly record?: readonly string[]};
	const where = recordName('\n', lines, name);
	switch (code) {
		case 'CSV_RECORD_INCONSISTENT_FIELDS_LENGTH': {
			const fields = record?.length === 1 ? '1 field' : `${record?.length} fields`;
			return `${where} has ${fields}, but the header has another number of columns.`;
		}
		case 'CSV_QUOTE_NOT_CLOSED':
			return `A quote is not closed in ${name}; the last one that opens is in line ${lines}.`;
		case 'CSV_INVALID_CLOSING_QUOTE':
		case 'INVALID_OPENING_QUOTE':
			return `${where} has a quote in the middle of a field. Put the field in quotes, and write the quote twice.`;
		case 'CSV_MAX_RECORD_SIZE':
			return `${where} is too long: a payload has at most ${DEFAULT_MAX_VALUE_BYTES} bytes. Perhaps a quote before it is not closed.`;
		default:
			return `${where} is not CSV: ${error.message}.`;
	}
}

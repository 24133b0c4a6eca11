import {InputError} from '../../input-error.ts';
import {fieldOf, isInexact} from '../template/replacement.ts';
import type {Entry} from './items.ts';
import {type ByteSource, recordName, recordsOf} from './records.ts';

/** The lines of a stream, parsed as JSON, without blank ones. @param key the field that names an item. @throws InputError if a line is not JSON */
export async function* ndjsonOf(source: ByteSource, key: string | undefined): AsyncGenerator<Iterable<Entry>> {
	const path = key?.split('.');
	let number = 0;
	for await (const lines of recordsOf(source, '\n')) {
		const entries: Entry[] = [];
		try {
			for (const line of lines) {
				number++;
				const content = line.trim();
				if (content === '') continue;
				const where = () => recordName('\n', number, source.name);
				const value = parse(content, where);
				entries.push({values: [value], content, ...(path && {key: keyIn(value, path, where), where: where()})});
			}
		} catch (error) {
			// The lines before are good.
			yield entries;
			throw error;
		}
		yield entries;
	}
}

function parse(line: string, where: () => string): unknown {
	try {
		return JSON.parse(line);
	} catch (error) {
		throw new InputError(`${where()} is not JSON: ${(error as Error).message}.`, {cause: error});
	}
}

function keyIn(value: unknown, path: readonly string[], where: () => string): string {
	const key = valueIn(value, path);
	if (isInexact(key)) throw new InputError(`${where()} has the number ${key} as ${path.join('.')}, too large to be exact here; write it as a text, in quotes.`);
	if (typeof key === 'number' || (typeof key === 'string' && key !== '')) return String(key);
	const what = key === undefined ? `no field ${path.join('.')}` : `${JSON.stringify(key).slice(0, 50)} as ${path.join('.')}`;
	throw new InputError(`${where()} has ${what}; --key expects a field with a number or a text that is not empty.`);
}

function valueIn(value: unknown, path: readonly string[]): unknown {
	try {
		return fieldOf(value, path);
	} catch {
		return undefined;
	}
}

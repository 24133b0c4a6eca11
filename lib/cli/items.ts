import {isUtf8} from 'node:buffer';
import {existsSync} from 'node:fs';
import {convertPathToPattern, glob} from 'tinyglobby';
import {MAX_VALUE_BYTES} from '../encoding.ts';
import {FaenaError} from '../index.ts';

/** What the task is run for. */
export interface Item {
	readonly key: string;
	readonly payload: unknown;
}

/**
 * The files that the globs match, sorted, with paths relative to the working directory.
 * @throws FaenaError `BadOption` if there are none
 */
export async function filesOf(globs: readonly string[]): Promise<Item[]> {
	// A shell may have expanded a glob already, and a file's name may hold characters that mean something in one.
	const patterns = globs.map(each => (existsSync(each) ? convertPathToPattern(each) : each));
	const files = await glob(patterns, {expandDirectories: false});
	if (files.length === 0) {
		const hint = globs.some(each => existsSync(each)) ? " A folder's files are matched by folder/**." : '';
		throw new FaenaError('BadOption', `No file matches ${globs.join(' ')}.${hint}`);
	}
	return files.sort().map(path => ({key: path, payload: path}));
}

/**
 * The lines of a stream, named by their numbers from 1.
 * @param json parse each line; blank ones are skipped
 * @throws FaenaError `BadOption` at a line that isn't UTF-8 or JSON
 */
export async function* linesOf(input: NodeJS.ReadableStream, {json}: {readonly json: boolean}): AsyncGenerator<Item> {
	for await (const [number, bytes] of split(input)) {
		const line = toText(bytes, number);
		if (!json) yield {key: String(number), payload: line};
		else if (line.trim() !== '') yield {key: String(number), payload: parse(line, number)};
	}
}

/** The byte order mark with which texts that were made on Windows begin. */
const MARK = Buffer.from('\uFEFF');

/** Not by `readline`, which also splits at U+2028 and U+2029, and those may stand in a JSON text. */
async function* split(input: NodeJS.ReadableStream): AsyncGenerator<readonly [number: number, bytes: Buffer]> {
	let number = 1;
	let parts: Buffer[] = [];
	let length = 0;
	for await (const chunk of input as AsyncIterable<Buffer>) {
		let start = 0;
		for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', start)) {
			yield [number++, Buffer.concat([...parts, chunk.subarray(start, end)])];
			parts = [];
			length = 0;
			start = end + 1;
		}
		if (start === chunk.length) continue;
		parts.push(chunk.subarray(start));
		length += chunk.length - start;
		// Before an input without line ends fills the memory.
		if (length > 2 * MAX_VALUE_BYTES)
			throw new FaenaError('BadOption', `Line ${number} of the input is too long: a payload has at most ${MAX_VALUE_BYTES} bytes.`);
	}
	const rest = Buffer.concat(parts);
	if (rest.length > 0 && !(number === 1 && rest.equals(MARK))) yield [number, rest];
}

/** Without the byte order mark and the carriage returns of texts that were made on Windows. */
function toText(line: Buffer, number: number): string {
	if (!isUtf8(line)) throw new FaenaError('BadOption', `Line ${number} of the input is not UTF-8 text; convert it first, for instance with iconv.`);
	const text = line.toString();
	return text.slice(number === 1 && text.startsWith('\uFEFF') ? 1 : 0, text.endsWith('\r') ? -1 : undefined);
}

function parse(line: string, number: number): unknown {
	try {
		return JSON.parse(line);
	} catch (error) {
		throw new FaenaError('BadOption', `Line ${number} of the input is not JSON: ${(error as Error).message}.`, {cause: error});
	}
}

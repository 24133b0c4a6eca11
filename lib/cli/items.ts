import {isUtf8} from 'node:buffer';
import {existsSync, fstatSync, readdir} from 'node:fs';
import {convertPathToPattern, glob} from 'tinyglobby';
import {FaenaError} from '../index.ts';
import {DEFAULT_MAX_VALUE_BYTES} from '../job/encoding.ts';

/** An item of a map. */
export interface Item {
	readonly key: string;
	readonly payload: unknown;
}

/** The input could not be read to its end, so items may be missing. */
export class InputError extends FaenaError {
	constructor(message: string, options?: ErrorOptions) {
		super('BadOption', message, options);
	}
}

/**
 * The files that the globs match, sorted, with paths relative to the working directory.
 * @throws FaenaError `BadOption` if no file matches; {@link InputError} if a folder can't be read, or a name is not UTF-8
 */
export async function filesOf(globs: readonly string[]): Promise<Item[]> {
	// An argument may be a file's name, for instance if a shell has expanded the glob. It may have characters that are special in a glob.
	const patterns = globs.map(each => (existsSync(each) ? convertPathToPattern(each) : each));
	const unread = new Map<string, NodeJS.ErrnoException>();
	const files = await glob(patterns, {expandDirectories: false, fs: {readdir: collectingErrors(unread)}});
	for (const [folder, error] of unread) refuseUnread(folder, error);
	refuseMangled(files);
	if (files.length === 0) {
		const hint = globs.some(each => existsSync(each)) ? " A folder's files are matched by folder/**." : '';
		throw new FaenaError('BadOption', `No file matches ${globs.join(' ')}.${hint}`);
	}
	return files.sort().map(path => ({key: path, payload: path}));
}

/** `readdir` that collects its errors by folder. The glob itself ignores folders that it can't read. */
function collectingErrors(unread: Map<string, NodeJS.ErrnoException>): typeof readdir {
	type Read = (path: string, options: object, done: (error: NodeJS.ErrnoException | null, entries: unknown) => void) => void;
	const read: Read = (path, options, done) =>
		(readdir as Read)(path, options, (error, entries) => {
			if (error) unread.set(path, error);
			done(error, entries);
		});
	return read as typeof readdir;
}

/** Node replaces bytes of a name that are not UTF-8 with this. Such a name leads to no file, and two names may become the same. */
const MANGLED = '\uFFFD';

function refuseUnread(path: string, error: NodeJS.ErrnoException): void {
	if (path.includes(MANGLED)) throw notUtf8('folder', path);
	// The folder does not exist, or no longer, so it has no files.
	if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return;
	const message = `The folder ${path} can't be read (${error.code}), and its files would be left out. Make it readable, or name globs that don't reach it.`;
	throw new InputError(message, {cause: error});
}

function refuseMangled(files: readonly string[]): void {
	const suspect = files.filter(path => path.includes(MANGLED));
	const mangled = suspect.find((path, index) => !existsSync(path) || suspect.indexOf(path) !== index);
	if (mangled !== undefined) throw notUtf8('file', mangled);
}

function notUtf8(what: 'file' | 'folder', path: string): InputError {
	return new InputError(`The name of the ${what} ${path} is not UTF-8 text, so it can't be told from others. Rename it, for instance with convmv.`);
}

/** @throws InputError if stdin is a folder, which Node would read as an empty input */
export function refuseFolderAsInput(): void {
	if (fstatSync(process.stdin.fd).isDirectory()) throw new InputError("The input can't be read: it is a folder.");
}

/**
 * The lines of a stream. A line's key is its number, from 1.
 * @param json whether to parse each line and skip blank ones
 * @throws InputError if the stream fails, or a line is not UTF-8 or not JSON
 */
export async function* linesOf(input: NodeJS.ReadableStream, {json}: {readonly json: boolean}): AsyncGenerator<Item> {
	for await (const [number, bytes] of split(input)) {
		const line = toText(bytes, number);
		if (!json) yield {key: String(number), payload: line};
		else if (line.trim() !== '') yield {key: String(number), payload: parse(line, number)};
	}
}

/** The byte order mark, with which texts from Windows begin. */
const MARK = Buffer.from('\uFEFF');

/** Splits a stream into lines. `readline` would also split at U+2028 and U+2029, which may occur in JSON. */
async function* split(input: NodeJS.ReadableStream): AsyncGenerator<readonly [number: number, bytes: Buffer]> {
	let number = 1;
	let parts: Buffer[] = [];
	let length = 0;
	for await (const chunk of chunksOf(input)) {
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
		// An input without line ends must not fill the memory.
		if (length > 2 * DEFAULT_MAX_VALUE_BYTES)
			throw new InputError(`Line ${number} of the input is too long: a payload has at most ${DEFAULT_MAX_VALUE_BYTES} bytes.`);
	}
	const rest = Buffer.concat(parts);
	if (rest.length > 0 && !(number === 1 && rest.equals(MARK))) yield [number, rest];
}

async function* chunksOf(input: NodeJS.ReadableStream): AsyncGenerator<Buffer> {
	try {
		yield* input as AsyncIterable<Buffer>;
	} catch (error) {
		throw new InputError(`The input can't be read: ${(error as Error).message}.`, {cause: error});
	}
}

/** Decodes a line, without the byte order mark and the carriage return of texts from Windows. */
function toText(line: Buffer, number: number): string {
	if (!isUtf8(line)) throw new InputError(`Line ${number} of the input is not UTF-8 text; convert it first, for instance with iconv.`);
	const text = line.toString();
	return text.slice(number === 1 && text.startsWith('\uFEFF') ? 1 : 0, text.endsWith('\r') ? -1 : undefined);
}

function parse(line: string, number: number): unknown {
	try {
		return JSON.parse(line);
	} catch (error) {
		throw new InputError(`Line ${number} of the input is not JSON: ${(error as Error).message}.`, {cause: error});
	}
}

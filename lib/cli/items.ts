import {isUtf8} from 'node:buffer';
import {existsSync, fstatSync, readdir} from 'node:fs';
import {convertPathToPattern, glob} from 'tinyglobby';
import {FaenaError} from '../index.ts';
import {MAX_VALUE_BYTES} from '../job/encoding.ts';

/** What the task is run for. */
export interface Item {
	readonly key: string;
	readonly payload: unknown;
}

/** The input could not be read to its end: items may be missing. */
export class InputError extends FaenaError {
	constructor(message: string, options?: ErrorOptions) {
		super('BadOption', message, options);
	}
}

/**
 * The files that the globs match, sorted, with paths relative to the working directory.
 * @throws FaenaError `BadOption` if there are none; {@link InputError} if a folder can't be read, or a name is not UTF-8
 */
export async function filesOf(globs: readonly string[]): Promise<Item[]> {
	// A shell may have expanded a glob already, and a file's name may hold characters that mean something in one.
	const patterns = globs.map(each => (existsSync(each) ? convertPathToPattern(each) : each));
	const failed: Unread[] = [];
	const files = await glob(patterns, {expandDirectories: false, fs: {readdir: tellingOf(failed)}});
	for (const each of failed) refuseUnread(each);
	refuseMangled(files);
	if (files.length === 0) {
		const hint = globs.some(each => existsSync(each)) ? " A folder's files are matched by folder/**." : '';
		throw new FaenaError('BadOption', `No file matches ${globs.join(' ')}.${hint}`);
	}
	return files.sort().map(path => ({key: path, payload: path}));
}

/** A folder that could not be read. */
interface Unread {
	readonly path: string;
	readonly error: NodeJS.ErrnoException;
}

/** `readdir` that keeps its errors: the glob passes over folders that it can't read. */
function tellingOf(failed: Unread[]): typeof readdir {
	type Read = (path: string, options: object, done: (error: NodeJS.ErrnoException | null, entries: unknown) => void) => void;
	const read: Read = (path, options, done) =>
		(readdir as Read)(path, options, (error, entries) => {
			if (error) failed.push({path, error});
			done(error, entries);
		});
	return read as typeof readdir;
}

/** What Node puts in the place of bytes of a name that are not UTF-8: such a name leads to no file, and two may become the same. */
const MANGLED = '\uFFFD';

function refuseUnread({path, error}: Unread): void {
	if (path.includes(MANGLED)) throw notUtf8('folder', path);
	// It is not there (any more), so it has no files.
	if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return;
	throw new InputError(
		`The folder ${path} can't be read (${error.code}), and its files would be left out. Make it readable, or name globs that don't reach it.`,
		{
			cause: error,
		},
	);
}

function refuseMangled(files: readonly string[]): void {
	const suspect = files.filter(path => path.includes(MANGLED));
	const mangled = suspect.find((path, index) => !existsSync(path) || suspect.indexOf(path) !== index);
	if (mangled !== undefined) throw notUtf8('file', mangled);
}

function notUtf8(what: 'file' | 'folder', path: string): InputError {
	return new InputError(`The name of the ${what} ${path} is not UTF-8 text, so it can't be told from others. Rename it, for instance with convmv.`);
}

/** @throws InputError if stdin is a folder, which Node takes for an input that is empty */
export function refuseFolderAsInput(): void {
	if (fstatSync(process.stdin.fd).isDirectory()) throw new InputError("The input can't be read: it is a folder.");
}

/**
 * The lines of a stream, named by their numbers from 1.
 * @param json parse each line; blank ones are skipped
 * @throws InputError if the stream fails, and at a line that isn't UTF-8 or JSON
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
		// Before an input without line ends fills the memory.
		if (length > 2 * MAX_VALUE_BYTES) throw new InputError(`Line ${number} of the input is too long: a payload has at most ${MAX_VALUE_BYTES} bytes.`);
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

/** Without the byte order mark and the carriage returns of texts that were made on Windows. */
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

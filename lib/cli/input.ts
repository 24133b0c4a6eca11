/** What a command gets from its user: the queue that `--queue` names, the values of flags, and the items of a map. */

import {isUtf8} from 'node:buffer';
import {existsSync, fstatSync, readdir} from 'node:fs';
import {InvalidArgumentError} from 'commander';
import type {StringValue} from 'ms';
import ms from 'ms';
import {convertPathToPattern, glob} from 'tinyglobby';
import {isPostgres, queueExists, shownLocation} from '../api/queue-location.ts';
import {closeOnSignals, isSignalled} from '../api/signals.ts';
import {FaenaError, type HaltOption, type JobId, type JobStatus, STATUSES} from '../index.ts';
import {bad} from '../job/checks.ts';
import {DEFAULT_MAX_VALUE_BYTES} from '../job/encoding.ts';
import {type Batch, type JobQueue, openQueue} from '../queue.ts';

/** Opens an existing queue for a moment, to change it or, with `readOnly`, to look at it. Never creates one. */
export async function useQueue<Result>(file: string, use: (queue: JobQueue) => Promise<Result>, {readOnly = false} = {}): Promise<Result> {
	await assertExists(file);
	const queue = await openQueue(file, {readOnly});
	// A signal closes the queue, and then ends the process: so a queue that is only looked at has the same files afterwards.
	const stopListening = closeOnSignals(queue);
	try {
		// Jobs of killed processes no longer run. A queue that is only looked at still shows them as running.
		if (!readOnly) await queue.reclaim();
		return await use(queue);
	} catch (error) {
		// It was closed under the command.
		if (isSignalled()) await new Promise(() => {});
		throw error;
	} finally {
		await queue.close();
		stopListening();
	}
}

/** @throws FaenaError `BadDatabase` if `open()` would create the queue */
export async function assertExists(queue: string): Promise<void> {
	if (!(await queueExists(queue)))
		throw new FaenaError('BadDatabase', `There is no queue ${shownLocation(queue)} here; name its ${isPostgres(queue) ? 'URL' : 'file'} with --queue.`);
}

const MAX_NAMED_IDS = 10;

/** The error of every command that gets the id of a job that does not exist, or the ids of several. */
export function noSuchJob(file: string, ...ids: readonly JobId[]): FaenaError {
	const named = `${ids.slice(0, MAX_NAMED_IDS).join(', ')}${ids.length > MAX_NAMED_IDS ? ' …' : ''}`;
	return new FaenaError('NoSuchJob', `There is no job ${named} in ${shownLocation(file)}; it may have been cleaned up.`);
}

/** @throws FaenaError `NoSuchBatch` */
export async function batchOf(queue: JobQueue, name: string): Promise<Batch> {
	const batch = await queue.batch(name);
	if (!batch) throw new FaenaError('NoSuchBatch', `There is no batch ${JSON.stringify(name)} in ${queue.location}; faena batches lists them.`);
	return batch;
}

export function toCount(text: string): number {
	if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
	throw new InvalidArgumentError('It is a whole number from 1.');
}

/** A number without a unit is refused: the engine would take it for milliseconds, most people mean seconds. */
export function toTime(text: string): string {
	if (/^\d+(\.\d+)?%$/.test(text) && Number.parseFloat(text) > 100) return text;
	const isTime = /[a-z]\s*$/i.test(text) && text.length < 100 && (ms(text as StringValue) ?? 0) > 0;
	if (isTime) return text;
	throw new InvalidArgumentError('It is a time with its unit, such as 500ms, 30s, 10m or 2h, or more than 100% of the median.');
}

/** A time, in milliseconds since 1970: a date, a date with a time, or how long ago. Without a time zone it is local time. */
export function toPast(text: string): number {
	const ago = /^\d/.test(text) && /[a-z]\s*$/i.test(text) && !text.endsWith('Z') && text.length < 100 ? ms(text as StringValue) : undefined;
	// A date alone would be read as UTC.
	const at = ago !== undefined ? Date.now() - ago : /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text.length === 10 ? `${text}T00:00` : text) : NaN;
	if (Number.isFinite(at)) return at;
	throw new InvalidArgumentError('It is a time such as 2026-11-28, 2026-11-28T14:30 or 2026-11-28T14:30Z, or how long ago, such as 30m, 2h or 7d.');
}

export function toStatuses(text: string): JobStatus[] {
	const names = text.split(',').map(name => name.trim()) as JobStatus[];
	if (names.every(name => (STATUSES as readonly string[]).includes(name))) return names;
	throw new InvalidArgumentError(`It is one of ${STATUSES.join(', ')}, or several with commas between.`);
}

export function toHalt(text: string): HaltOption {
	const [, when, on, at] = /^(now|soon),(fail|success)=([1-9]\d{0,8}|\d+(?:\.\d+)?%)$/.exec(text) ?? [];
	if (when === undefined || at === undefined)
		throw new InvalidArgumentError('It is now or soon, then fail or success and how many, for instance soon,fail=3 or now,fail=5%.');
	return {when, on, at: at.endsWith('%') ? at : Number(at)} as HaltOption;
}

/** @throws FaenaError `BadOption` */
export function toId(text: string): JobId {
	const id = Number(text);
	if (/^\d+$/.test(text) && Number.isSafeInteger(id) && id > 0) return id;
	throw new FaenaError('BadOption', `A job's id is a positive whole number, such as the "jobId" in the output of faena map; this is ${JSON.stringify(text)}.`);
}

/** An item of a map. */
export interface Item {
	readonly key: string;
	readonly payload: unknown;
}

/** @throws FaenaError `BadOption` */
export function toTask(text: string): {readonly module: string; readonly task: string} {
	const [, module, task] = /^(.+)#([^#]+)$/.exec(text) ?? [];
	if (module !== undefined && task !== undefined) return {module, task};
	throw bad(`Name a module and one of its functions, for instance './tasks.ts#thumbnail'; this is ${JSON.stringify(text)}.`);
}

/**
 * The files that the globs match, or the lines of stdin.
 * @throws FaenaError `BadOption`; {@link InputError}
 */
export async function itemsOf(
	globs: readonly string[],
	{lines, ndjson}: {readonly lines?: true; readonly ndjson?: true},
): Promise<readonly Item[] | AsyncIterable<Item>> {
	const sources = [globs.length > 0, lines, ndjson].filter(Boolean).length;
	if (sources > 1) throw bad('Give only one of these: globs, --lines, --ndjson.');
	if (sources === 0) throw bad("Give globs that name the files, for instance 'photos/*.jpg', or --lines or --ndjson to read items from stdin.");
	if (globs.length > 0) return filesOf(globs);
	refuseFolderAsInput();
	return linesOf(process.stdin, {json: ndjson === true});
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

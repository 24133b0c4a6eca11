import {existsSync} from 'node:fs';
import {convertPathToPattern, glob} from 'tinyglobby';
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
 * @throws FaenaError `BadOption` at a line that isn't JSON
 */
export async function* linesOf(input: NodeJS.ReadableStream, {json}: {readonly json: boolean}): AsyncGenerator<Item> {
	let number = 0;
	for await (const line of split(input)) {
		number++;
		if (!json) yield {key: String(number), payload: line};
		else if (line.trim() !== '') yield {key: String(number), payload: parse(line, number)};
	}
}

/** Not by `readline`, which also splits at U+2028 and U+2029, and those may stand in a JSON text. */
async function* split(input: NodeJS.ReadableStream): AsyncGenerator<string> {
	input.setEncoding('utf8');
	let rest = '';
	for await (const chunk of input) {
		const lines = (rest + chunk).split('\n');
		rest = lines.pop() as string;
		for (const line of lines) yield line.endsWith('\r') ? line.slice(0, -1) : line;
	}
	if (rest !== '') yield rest;
}

function parse(line: string, number: number): unknown {
	try {
		return JSON.parse(line);
	} catch (error) {
		throw new FaenaError('BadOption', `Line ${number} of the input is not JSON: ${(error as Error).message}.`, {cause: error});
	}
}

import {createReadStream, writeFileSync} from 'node:fs';
import {open} from 'node:fs/promises';
import {createInterface} from 'node:readline';
import {Readable} from 'node:stream';
import {setImmediate as nextTurn} from 'node:timers/promises';

type Source = Iterable<string> | AsyncIterable<string>;

/** Where a program's maps have their items from: the usual ways to have lines. Each gives the lines, in their order. */
export const SOURCES: Readonly<Record<string, (lines: readonly string[], file: string) => Source | Promise<Source>>> = {
	array: lines => lines,
	set: lines => new Set(lines),
	*generator(lines) {
		yield* lines;
	},
	async *'generator that pauses'(lines) {
		for (const line of lines) {
			await nextTurn();
			yield line;
		}
	},
	stream: lines => Readable.from(lines),
	readline(lines, file) {
		write(file, lines);
		return createInterface({input: createReadStream(file), crlfDelay: Infinity});
	},
	async readPacked(lines, file) {
		write(file, lines);
		return (await open(file)).readLines();
	},
};

function write(file: string, lines: readonly string[]): void {
	writeFileSync(file, `${lines.join('\n')}\n`);
}

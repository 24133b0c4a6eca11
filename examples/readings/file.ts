import {createReadStream, createWriteStream, existsSync, renameSync} from 'node:fs';
import {Readable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {createGunzip, createGzip} from 'node:zlib';
import type {Line} from './tasks.ts';

/** Yields the lines of a compressed file, which is read no faster than they are taken. */
export async function* linesOf(file: string): AsyncGenerator<Line> {
	const text = createGunzip();
	const input = createReadStream(file).on('error', error => text.destroy(error));
	let line = 0;
	let rest = '';
	for await (const chunk of input.pipe(text).setEncoding('utf8')) {
		const lines = `${rest}${chunk}`.split('\n');
		rest = lines.pop() ?? '';
		for (const text of lines) yield {line: ++line, text};
	}
	if (rest !== '') yield {line: ++line, text: rest};
}

/** Makes a file of readings, once. Every thousandth line is broken. */
export async function makeFile(lines: number): Promise<string> {
	const file = `readings-${lines}.ndjson.gz`;
	if (existsSync(file)) return file;
	await pipeline(Readable.from(textOf(lines)), createGzip({level: 1}), createWriteStream(`${file}.part`));
	renameSync(`${file}.part`, file);
	return file;
}

/** Yields the text in pieces of many lines. */
function* textOf(lines: number): Generator<string> {
	let piece = '';
	for (let line = 1; line <= lines; line++) {
		const at = new Date(1_767_225_600_000 + line * 1000).toISOString();
		const reading = JSON.stringify({station: `S${line % 500}`, at, celsius: (((line * 7) % 600) / 10 - 20).toFixed(1)});
		piece += `${line % 1000 === 0 ? reading.slice(0, 20) : reading}\n`;
		if (line % 1000 !== 0 && line < lines) continue;
		yield piece;
		piece = '';
	}
}

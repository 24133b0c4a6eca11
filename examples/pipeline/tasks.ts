import {createHash} from 'node:crypto';
import {open} from 'node:fs/promises';
import type {TaskContext} from '../../lib/index.ts'; // 'faena' in a program of your own

export interface Text {
	readonly id: string;
	readonly text: string;
}

/** Lines that one job reads: it enqueues a job for each, and the next one of its kind. */
const LINES = 100;

/** Reads a few texts from here on. What it enqueues is there once it has completed, or not at all. */
export async function read({file, from}: {file: string; from: number}, context: TaskContext): Promise<void> {
	const handle = await open(file);
	let [lines, next] = [0, from];
	try {
		for await (const line of handle.readLines({start: from, autoClose: false})) {
			context.enqueue('normalise', JSON.parse(line));
			next += Buffer.byteLength(line) + 1;
			if (++lines === LINES) break;
		}
	} finally {
		await handle.close();
	}
	if (lines === LINES) context.enqueue('read', {file, from: next});
}

/** Takes away what makes no difference to a reader. */
export function normalise({id, text}: Text, context: TaskContext): void {
	const words =
		text
			.normalize('NFKC')
			.toLowerCase()
			.match(/\p{L}+/gu) ?? [];
	context.enqueue('fingerprint', {id, words});
}

const HASHES = 64;

/** MinHash: texts that share most of their word pairs have most of these numbers in common. */
export function fingerprint({id, words}: {id: string; words: readonly string[]}): {readonly id: string; readonly minima: Uint32Array} {
	const minima = new Uint32Array(HASHES).fill(2 ** 32 - 1);
	for (let index = 0; index < words.length; index++) {
		const digest = createHash('shake256', {outputLength: HASHES * 4})
			.update(`${words[index]} ${words[index + 1] ?? ''}`)
			.digest();
		for (let hash = 0; hash < HASHES; hash++) minima[hash] = Math.min(minima[hash] as number, digest.readUInt32LE(hash * 4));
	}
	return {id, minima};
}

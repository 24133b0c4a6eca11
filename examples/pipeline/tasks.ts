import {open} from 'node:fs/promises';
import {type TaskContext, task} from 'faena';
import {linesOf, type Row, toRow} from './row.ts';
import {Table} from './table.ts';

export interface Place {
	readonly file: string;
	/** In bytes; the line that begins there has this number, from 1. */
	readonly from: number;
	readonly line: number;
}

/** A few hundred lines: a job for each would cost as much as its work. */
const BLOCK_BYTES = 64 * 1024;

/**
 * Reads a block of lines from here on, for `transform`, and enqueues itself for the next one. What it enqueues is there once
 * it has completed, or not at all. It comes last, so that the file is read no faster than the rest can follow.
 */
export const extract = task(
	async ({file, from, line}: Place, context: TaskContext): Promise<void> => {
		const block = await readBlock(file, from);
		const isLast = block.length < BLOCK_BYTES;
		const end = isLast ? block.length : block.lastIndexOf('\n') + 1;
		if (end === 0 && !isLast) throw new Error(`Line ${line} of ${file} is longer than ${BLOCK_BYTES} bytes.`);
		const lines = linesOf(block.toString('utf8', 0, end));
		if (lines.length > 0) context.enqueue('transform', {line, lines} satisfies Block);
		if (!isLast) context.enqueue('extract', {file, from: from + end, line: line + lines.length} satisfies Place);
	},
	{priority: -1},
);

/** Shorter at the end of the file. */
async function readBlock(file: string, from: number): Promise<Buffer> {
	const handle = await open(file);
	try {
		const {buffer, bytesRead} = await handle.read(Buffer.alloc(BLOCK_BYTES), 0, BLOCK_BYTES, from);
		return buffer.subarray(0, bytesRead);
	} finally {
		await handle.close();
	}
}

export interface Block {
	/** The number of the first one. */
	readonly line: number;
	readonly lines: readonly string[];
}

/** The work: a row for each line. */
export function transform({line, lines}: Block, context: TaskContext): void {
	context.enqueue('load', lines.map((text, index) => toRow(line + index, text)) satisfies Row[]);
}

/**
 * Writes rows into the table, whose key makes it harmless to do that twice: a kill can come between this commit and the
 * one that completes the job. One at a time, since SQLite has one writer. Returns how many rows were not there.
 */
export const load = task((rows: readonly Row[], {resource: table}: TaskContext<Table>): number => table.insert(rows), {
	concurrency: 1,
	setup: () => new Table(process.env['CUSTOMERS_DB'] as string),
	teardown: table => table.close(),
});

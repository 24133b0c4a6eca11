import {open} from 'node:fs/promises';
import {type TaskContext, task} from 'faena';
import {linesOf, type Row, toRow} from './row.ts';
import {Table} from './table.ts';

export interface Place {
	readonly file: string;
	/** Position in the file, in bytes, at which a line begins. */
	readonly from: number;
	/** The number of that line, from 1. */
	readonly line: number;
}

/** A few hundred lines. A job for each line would cost as much as the work on it. */
const BLOCK_BYTES = 64 * 1024;

/**
 * Reads a block of lines, and enqueues `transform` for it and itself for the next block. The transaction that completes it
 * enqueues these jobs. It has the lowest priority, so that it reads the file no faster than the other tasks can follow.
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

/** Reads a block, which is shorter at the end of the file. */
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
	/** The number of the first line. */
	readonly line: number;
	readonly lines: readonly string[];
}

/** Does the work: makes a row of each line. */
export function transform({line, lines}: Block, context: TaskContext): void {
	context.enqueue('load', lines.map((text, index) => toRow(line + index, text)) satisfies Row[]);
}

/**
 * Writes rows into the table, and returns how many are new. A kill can come between this commit and the one that completes
 * the job. Then the job writes its rows twice, which the table's key makes harmless. One job runs at a time, because SQLite
 * has one writer.
 */
export const load = task((rows: readonly Row[], {resource: table}: TaskContext<{resource: Table}>): number => table.insert(rows), {
	concurrency: 1,
	setup: () => new Table(process.env['CUSTOMERS_DB'] as string),
	teardown: table => table.close(),
});

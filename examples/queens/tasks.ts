import {appendFileSync} from 'node:fs';
import type {TaskContext} from 'faena';

/** All ways that begin with a queen in this column of the first row. */
export interface Branch {
	readonly size: number;
	readonly column: number;
}

/** Queens in the first rows, as bits: the columns they stand in, and those that their diagonals reach in the next row. */
interface Opening {
	readonly columns: number;
	readonly left: number;
	readonly right: number;
}

interface Checkpoint {
	readonly openings: number;
	readonly ways: number;
}

/** Rows that are filled before the counting begins: some milliseconds of work for each opening on a large board. */
const OPENING_ROWS = 4;

/** Counts the ways to place queens that don't attack each other. Runs for minutes without ever yielding to the event loop. */
export function count(branch: Branch, context: TaskContext): number {
	const openings = openingsOf(branch);
	const {openings: done, ways: counted} = (context.resumeFrom as Checkpoint | undefined) ?? {openings: 0, ways: 0};
	let ways = counted;
	for (let index = done; index < openings.length; index++) {
		// Faena ignores what a task returns after it was told to stop. The next execution continues from the checkpoint.
		if (context.cancelled) return ways;
		journal();
		const {columns, left, right} = openings[index] as Opening;
		ways += complete((1 << branch.size) - 1, columns, left, right);
		context.checkpoint({openings: index + 1, ways} satisfies Checkpoint);
		context.progress(index + 1, openings.length);
	}
	return ways;
}

/** The openings of a branch, in the same order each time, so that their number is a job's position. */
export function openingsOf({size, column}: Branch): Opening[] {
	const all = (1 << size) - 1;
	let openings = [place({columns: 0, left: 0, right: 0}, 1 << column)];
	for (let row = 1; row < Math.min(OPENING_ROWS, size); row++) {
		openings = openings.flatMap(opening => queensOf(all, opening).map(queen => place(opening, queen)));
	}
	return openings;
}

function queensOf(all: number, {columns, left, right}: Opening): number[] {
	const queens = [];
	for (let free = all & ~(columns | left | right); free !== 0; free &= free - 1) queens.push(free & -free);
	return queens;
}

function place({columns, left, right}: Opening, queen: number): Opening {
	return {columns: columns | queen, left: (left | queen) << 1, right: (right | queen) >>> 1};
}

function complete(all: number, columns: number, left: number, right: number): number {
	if (columns === all) return 1;
	let ways = 0;
	for (let free = all & ~(columns | left | right); free !== 0; free &= free - 1) {
		const queen = free & -free;
		ways += complete(all, columns | queen, (left | queen) << 1, (right | queen) >>> 1);
	}
	return ways;
}

/** A byte for each opening that was begun tells `--kills` how much work was done twice. */
function journal(): void {
	const file = process.env['QUEENS_JOURNAL'];
	if (file !== undefined) appendFileSync(file, '.');
}

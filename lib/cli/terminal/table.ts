/** Lines and tables that fit a terminal. Texts have no controls: `inLine` has escaped them. */

import stringWidth from 'string-width';

/** The columns of the terminal that shows stdout; Infinity if none does. */
export function outputWidth(): number {
	return (process.stdout.isTTY && process.stdout.columns) || Infinity;
}

const GAP = '  ';
const MIN_FIRST_WIDTH = 8;

/** Rows with aligned columns. On a narrow terminal the first column is shortened, and then the end of the lines. */
export function table(rows: readonly (readonly string[])[], width = outputWidth()): string {
	const columns = rows.reduce((most, row) => Math.max(most, row.length), 0);
	const widths = Array.from({length: columns}, (_, column) => rows.reduce((most, row) => Math.max(most, stringWidth(row[column] ?? '')), 0));
	const [first = 0, ...others] = widths;
	const room = width - others.reduce((sum, each) => sum + GAP.length + each, 0);
	widths[0] = Math.min(first, Math.max(MIN_FIRST_WIDTH, room));
	const lineOf = (row: readonly string[]) => row.map((cell, column) => padded(cell, widths[column] as number)).join(GAP);
	return rows.map(row => `${cut(lineOf(row).trimEnd(), width)}\n`).join('');
}

function padded(cell: string, width: number): string {
	const fitting = cut(cell, width);
	return fitting + ' '.repeat(width - stringWidth(fitting));
}

const graphemes = new Intl.Segmenter();

/** The text, cut off if it is wider than this. */
export function cut(text: string, width: number): string {
	// A character has at most two columns.
	if (text.length * 2 <= width || stringWidth(text) <= width) return text;
	let kept = '';
	let left = width - 1;
	for (const {segment} of graphemes.segment(text)) {
		left -= stringWidth(segment);
		if (left < 0) break;
		kept += segment;
	}
	return `${kept}…`;
}

export interface Column<Row> {
	readonly title: string;
	/** Text is aligned left, numbers right. */
	readonly isText?: boolean;
	/** The text of a cell; empty if there is no value. */
	readonly cell: (row: Row) => string;
}

/** Breaks text into lines of at most 120 characters. A table stays as it is. */
export function inLines(text: string): string {
	return text.startsWith('|') ? text : text.replace(/(?![^\n]{1,120}$)([^\n]{1,120}) /gm, '$1\n');
}

/** A table in Markdown, without the columns that would be empty. */
export function markdownTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
	const shown = columns.filter(({cell}) => rows.some(row => cell(row) !== ''));
	const lines = [
		shown.map(({title}) => title),
		shown.map(({isText}) => (isText ? '---' : '---:')),
		...rows.map(row => shown.map(({cell}) => cell(row).replaceAll('|', '\\|'))),
	];
	return lines.map(cells => `| ${cells.join(' | ')} |`).join('\n');
}

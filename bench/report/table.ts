export interface Column<Row> {
	readonly title: string;
	/** Text stands on the left, numbers on the right. */
	readonly isText?: boolean;
	/** Empty where nothing is known. */
	readonly cell: (row: Row) => string;
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

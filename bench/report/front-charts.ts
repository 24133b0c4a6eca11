import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {FRONT, frontFile} from '../charts/front.ts';

/**
 * The charts of docs/speed.md in Markdown, two in a row.
 * @param results the folder in which they lie
 * @param link the same folder, as the document names it
 */
export function frontCharts(results: string, link: string): string {
	const drawn = FRONT.filter(chart => existsSync(join(results, frontFile(chart))));
	const cells = drawn.map(chart => `![${chart.alternative}](${link}/${frontFile(chart)})`);
	const rows = cells.flatMap((cell, index) => (index % 2 === 0 ? [`| ${cell} | ${cells[index + 1] ?? ''} |`] : []));
	return ['|  |  |', '| --- | --- |', ...rows].join('\n');
}

import {existsSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import {readRun} from '../analyse/run.ts';
import {report} from './markdown.ts';

/**
 * Writes the tables and charts of each plan with results into a document. For the plan `quick` it replaces the text between
 * `<!-- quick -->` and `<!-- end of quick -->` by the charts and the tables of the newest run in `quick.jsonl`.
 */
export function writeTables(document: string, results: string): void {
	const names = existsSync(results) ? readdirSync(results) : [];
	const plans = names.filter(name => name.endsWith('.jsonl')).map(name => basename(name, '.jsonl'));
	if (plans.length === 0) throw new Error(`There are no results in ${results} yet.`);
	const before = readFileSync(document, 'utf8');
	writeFileSync(
		document,
		plans.reduce((text, plan) => replaceBetween(text, plan, `${chartsOf(plan, names)}${report(readRun(join(results, `${plan}.jsonl`)))}`), before),
	);
}

/** Replaces one section of a document. */
export function writeSection(document: string, name: string, content: string): void {
	writeFileSync(document, replaceBetween(readFileSync(document, 'utf8'), name, content));
}

function chartsOf(plan: string, names: readonly string[]): string {
	const charts = names.filter(name => name.startsWith(`${plan}-`) && name.endsWith('.svg')).sort();
	return charts.map(name => `![${basename(name, '.svg').slice(plan.length + 1)}](results/${name})\n\n`).join('');
}

/** Changes nothing if the text has no such markers. */
function replaceBetween(text: string, name: string, content: string): string {
	const [start, end] = [`<!-- ${name} -->\n`, `<!-- end of ${name} -->`];
	const from = text.indexOf(start);
	const to = text.indexOf(end, from);
	if (from < 0) return text;
	if (to < 0) throw new Error(`${start.trim()} has no ${end} after it.`);
	return `${text.slice(0, from + start.length)}\n${content}\n${text.slice(to)}`;
}

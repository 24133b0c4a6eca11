/**
 * Draws the charts of a run as SVG beside its results: `node bench/charts.ts [FILE …] [--run ID]`; by default of the newest run
 * of each plan in `bench/results`.
 */
import {existsSync, readdirSync, writeFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {CHARTS} from './charts/index.ts';
import {render} from './charts/render.ts';
import {readRun} from './run.ts';

const RESULTS = fileURLToPath(new URL('./results/', import.meta.url));

try {
	const {values, positionals} = parseArgs({options: {run: {type: 'string'}}, allowPositionals: true});
	const files = positionals.length > 0 ? positionals : resultsIn(RESULTS);
	if (files.length === 0) throw new Error(`There are no results in ${RESULTS} yet.`);
	for (const file of files) await draw(file, values.run);
} catch (error) {
	console.error((error as Error).message);
	process.exitCode = 2;
}

async function draw(file: string, id: string | undefined): Promise<void> {
	const run = readRun(file, id);
	for (const [name, chartOf] of Object.entries(CHARTS)) {
		const chart = chartOf(run);
		if (!chart) continue;
		const path = join(dirname(file), `${basename(file, '.jsonl')}-${name}.svg`);
		writeFileSync(path, `${await render(chart)}\n`);
		console.log(path);
	}
}

function resultsIn(folder: string): string[] {
	if (!existsSync(folder)) return [];
	return readdirSync(folder)
		.filter(name => name.endsWith('.jsonl'))
		.map(name => join(folder, name));
}

/**
 * Draws the charts of a run as SVG files beside its results: `node bench/charts.ts [FILE …] [--run ID]`. Without files it
 * draws the newest run of each file in `bench/results`, and the charts that docs/speed.md shows.
 */
import {existsSync, readdirSync, writeFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {type Run, readRun} from './analyse/run.ts';
import {FRONT, frontFile} from './charts/front.ts';
import {CHARTS} from './charts/index.ts';
import {render} from './charts/render.ts';

const RESULTS = fileURLToPath(new URL('./results/', import.meta.url));

try {
	const {values, positionals} = parseArgs({options: {run: {type: 'string'}}, allowPositionals: true});
	const files = positionals.length > 0 ? positionals : resultsIn(RESULTS);
	if (files.length === 0) throw new Error(`There are no results in ${RESULTS} yet.`);
	for (const file of files) await drawAll(file, values.run);
	if (positionals.length === 0) await drawFront();
} catch (error) {
	console.error((error as Error).message);
	process.exitCode = 2;
}

async function drawAll(file: string, id: string | undefined): Promise<void> {
	const run = readRun(file, id);
	for (const name of Object.keys(CHARTS)) await draw(run, name, join(dirname(file), `${basename(file, '.jsonl')}-${name}.svg`));
}

async function drawFront(): Promise<void> {
	for (const front of FRONT) {
		const file = join(RESULTS, `${front.plan}.jsonl`);
		if (!existsSync(file)) continue;
		const run = readRun(file);
		await draw({...run, measured: run.measured.filter(front.of ?? (() => true))}, front.name, join(RESULTS, frontFile(front)));
	}
}

async function draw(run: Run, name: string, path: string): Promise<void> {
	const chart = CHARTS[name]?.(run);
	if (!chart) return;
	writeFileSync(path, `${await render(chart)}\n`);
	console.log(path);
}

function resultsIn(folder: string): string[] {
	if (!existsSync(folder)) return [];
	return readdirSync(folder)
		.filter(name => name.endsWith('.jsonl'))
		.map(name => join(folder, name));
}

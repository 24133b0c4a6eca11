/**
 * Prints the tables of a run: `node bench/report.ts [FILE] [--run ID]`, by default of the newest run in `bench/results/quick.jsonl`.
 * With `--write` it prints nothing: it puts the tables of the newest run of each plan into `bench/README.md`, and summaries of the
 * plans `quick` and `peers` and four charts into `docs/speed.md`, and of `quick` three lines into `README.md`.
 */
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {readRun, readRuns} from './analyse/run.ts';
import {frontCharts} from './report/front-charts.ts';
import {peersSummary} from './report/front-peers.ts';
import {historyTable} from './report/history.ts';
import {report} from './report/markdown.ts';
import {frontLines, summary} from './report/summary.ts';
import {writeSection, writeTables} from './report/write.ts';

const RESULTS = fileURLToPath(new URL('./results/', import.meta.url));
const FRONT = fileURLToPath(new URL('../README.md', import.meta.url));
const SPEED = fileURLToPath(new URL('../docs/speed.md', import.meta.url));
const README = fileURLToPath(new URL('./README.md', import.meta.url));

try {
	const {values, positionals} = parseArgs({options: {run: {type: 'string'}, write: {type: 'boolean', default: false}}, allowPositionals: true});
	if (values.write) {
		writeTables(README, RESULTS);
		writeSection(README, 'history', historyTable(readRuns(`${RESULTS}quick.jsonl`)));
		writeSection(FRONT, 'front', frontLines(readRun(`${RESULTS}quick.jsonl`)));
		writeSection(SPEED, 'speed', summary(readRun(`${RESULTS}quick.jsonl`)));
		writeSection(SPEED, 'peers', peersSummary(readRun(`${RESULTS}peers.jsonl`)));
		writeSection(SPEED, 'charts', frontCharts(RESULTS, '../bench/results'));
	} else process.stdout.write(report(readRun(positionals[0] ?? `${RESULTS}quick.jsonl`, values.run)));
} catch (error) {
	console.error((error as Error).message);
	process.exitCode = 2;
}

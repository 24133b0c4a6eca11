/**
 * Reads a compressed NDJSON file of readings, and writes them into an SQLite table: a pipe of three stages.
 *
 *     node examples/readings/main.ts readings.ndjson.gz --out readings.db
 *     node examples/readings/main.ts              # makes a file of a million lines first
 *
 * Stop or kill it as you like: the same command goes on, and each line is in the table once.
 */
import {existsSync} from 'node:fs';
import {basename, resolve} from 'node:path';
import {parseArgs} from 'node:util';
import {open} from 'faena';
import {linesOf, makeFile} from './file.ts';

const {positionals, values} = parseArgs({
	allowPositionals: true,
	options: {out: {type: 'string', default: 'readings.db'}, lines: {type: 'string', default: '1000000'}},
});
const file = positionals[0] ?? (await makeFile(Number(values.lines)));
if (!existsSync(file)) {
	console.error(`There is no file ${file}.`);
	process.exit(2);
}
// Workers get it with their environment.
process.env['READINGS_DB'] = resolve(values.out);

const faena = await open<typeof import('./tasks.ts')>({
	queue: `${values.out}.jobs`,
	tasks: new URL('./tasks.ts', import.meta.url),
	closeOnSignals: true,
});
const begunAt = performance.now();
const pipe = faena.pipe(linesOf(file), {task: 'parse', group: 1000}, 'enrich', 'store', {batch: basename(file), window: 100_000});
const timer = setInterval(() => pipe.progress().then(({line}) => console.error(line)), 1000);
let rows = 0;
for await (const stored of pipe) rows += stored;
clearInterval(timer);
const seconds = (performance.now() - begunAt) / 1000;
const {read} = await pipe.progress();
console.log(`${rows.toLocaleString('en')} rows of ${read.toLocaleString('en')} lines in ${seconds.toFixed(1)} s of this run`);
await faena.close();

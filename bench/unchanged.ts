/**
 * Maps a folder of files twice, of which none has changed: what it costs to find that out, beside a loop that only reads the files' attributes.
 * `node bench/unchanged.ts [FILES] [ROUNDS]`, by default 100,000 and 3, prints medians: of the first map, which reads each file once to hash it, of
 * the maps after it, of the same maps with `fresh: 'payload'`, which look at no file, and of the loop.
 */
import {mkdirSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {open} from '../lib/index.ts';
import type {Fresh} from '../lib/job/task/task.ts';
import {median} from './analyse/statistics.ts';
import {moduleUrl} from './measure/module-url.ts';

const [count = '100000', rounds = '3'] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'faena-bench-'));
const files = makeFiles(Number(count));
const costs = new Map<string, number[]>();

for (let round = 0; round < Number(rounds); round++) {
	rmSync(join(folder, 'jobs.db'), {force: true});
	await measure('first map, content', () => map('content'));
	await measure('unchanged, content', () => map('content'));
	await measure('unchanged, payload', () => map('payload'));
	await measure('loop of statSync()', async () => void files.map(file => statSync(file)));
}
for (const [what, seconds] of costs) console.log(`${what}  ${median(seconds).toFixed(2)} s  ${((1e6 * median(seconds)) / files.length).toFixed(1)} µs a file`);
rmSync(folder, {recursive: true});

/** Files of 100 bytes that were last changed an hour ago. */
function makeFiles(number: number): readonly string[] {
	const time = Date.now() / 1000 - 3600;
	return Array.from({length: number}, (_, index) => {
		const own = join(folder, String(index % 1000));
		if (index < 1000) mkdirSync(own);
		const file = join(own, `${index}.txt`);
		writeFileSync(file, `${index}`.padEnd(100));
		utimesSync(file, time, time);
		return file;
	});
}

/** With the start and the end of an engine, as a command has them. */
async function map(fresh: Fresh): Promise<void> {
	const faena = await open<typeof import('./measure/command-tasks.ts')>({queue: join(folder, 'jobs.db'), tasks: moduleUrl('measure/command-tasks')});
	const options = {batch: 'files', key: (file: string) => file, fresh, ...(fresh === 'content' && {files: (file: string) => [file]})} as const;
	for await (const {status} of faena.map('nothing', files, options)) if (status !== 'completed') throw new Error(`A job is ${status}: void`);
	await faena.close();
}

async function measure(what: string, run: () => Promise<void>): Promise<void> {
	const start = performance.now();
	await run();
	costs.set(what, [...(costs.get(what) ?? []), (performance.now() - start) / 1000]);
}

/**
 * Maps many no-op items from a generator and says, at each tenth, how fast it went and how much memory the process has:
 * `node bench/ten-million.ts [ITEMS] [FOLDER]`, by default 10,000,000 in the working directory. Kill it at any moment; the
 * same command goes on, and yields what is done from the queue. The file stays: about 100 bytes an item.
 */
import {statSync} from 'node:fs';
import {join} from 'node:path';
import {memoryUsage} from 'node:process';
import {open} from '../lib/index.ts';
import {moduleUrl} from './measure/module-url.ts';

const items = Number(process.argv[2] ?? 10_000_000);
const queue = join(process.argv[3] ?? '.', `map-${items}.db`);
await using faena = await open<typeof import('./measure/tasks.ts')>({queue, tasks: moduleUrl('measure/tasks'), closeOnSignals: true});

const map = faena.map('identity', numbers(), {batch: 'ten million', payload: (number: number) => number});
const start = performance.now();
let yielded = 0;
let since = start;
for await (const {status} of map) {
	if (status !== 'completed') throw new Error(`An item is ${status}: void`);
	if (++yielded % Math.ceil(items / 10) === 0) tell();
}
if (yielded !== items) throw new Error(`${yielded} of ${items} items were yielded: void`);
const {counts, total} = (await faena.batch('ten million').info()) ?? {};
if (counts?.completed !== items || total !== items) throw new Error(`The batch counts ${counts?.completed} of ${total}: void`);
console.log(`${items} items in ${((performance.now() - start) / 1000).toFixed(1)} s, ${map.progress().reused} of them by an earlier run`);

function* numbers(): Generator<number> {
	for (let number = 0; number < items; number++) yield number;
}

function tell(): void {
	const now = performance.now();
	const rate = Math.ceil(items / 10) / ((now - since) / 1000);
	since = now;
	const {rss, heapUsed} = memoryUsage();
	console.log(
		`${yielded} yielded  ${Math.round(rate)}/s  RSS ${mebibytes(rss)}  heap of this thread ${mebibytes(heapUsed)}  file ${mebibytes(statSync(queue).size)}`,
	);
}

function mebibytes(bytes: number): string {
	return `${Math.round(bytes / 1024 ** 2)} MiB`;
}

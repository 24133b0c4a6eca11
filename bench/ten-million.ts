/**
 * Maps no-op items from a generator, and prints its speed and memory after each tenth of them:
 * `node bench/ten-million.ts [ITEMS] [FOLDER]`, by default 10,000,000 in the working directory. You can kill it at any moment: the same
 * command continues, and yields the results of completed items from the queue. It leaves its database, about 18 bytes an item.
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
	if (++yielded % Math.ceil(items / 10) === 0) printProgress();
}
if (yielded !== items) throw new Error(`${yielded} of ${items} items were yielded: void`);
const {counts, total} = (await faena.batch('ten million').info()) ?? {};
if (counts?.completed !== items || total !== items) throw new Error(`The batch counts ${counts?.completed} of ${total}: void`);
console.log(`${items} items in ${((performance.now() - start) / 1000).toFixed(1)} s, ${map.progress().reused} of them by an earlier run`);

function* numbers(): Generator<number> {
	for (let number = 0; number < items; number++) yield number;
}

function printProgress(): void {
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

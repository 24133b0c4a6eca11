/** `host-program URL work LEASE`: runs jobs. `host-program URL map JOBS`: has them run by others, and says what came back. */
import {open} from '../../../lib/index.ts';

const [queue = '', what = '', number = ''] = process.argv.slice(2);
const tasks = new URL('./host-tasks.ts', import.meta.url);
const ignore = () => undefined;
const logger = {debug: ignore, info: ignore, warn: ignore, error: ignore};

if (what === 'work') {
	await open({queue, tasks, workers: 1, lease: Number(number), logger});
	setInterval(() => undefined, 60_000);
} else {
	const faena = await open<typeof import('./host-tasks.ts')>({queue, logger});
	const results: number[] = [];
	for await (const item of faena.map('burn', Array(Number(number)).keys(), {batch: 'hosts'})) if (item.status === 'completed') results.push(item.result);
	console.log(`${results.length} results, ${new Set(results).size} of them distinct`);
	await faena.close();
}

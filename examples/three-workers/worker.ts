/** `worker.ts`: runs jobs until it is stopped. Start one on each machine, with the same `DATABASE_URL`. */
import {hostname} from 'node:os';
import {open} from 'faena';

const faena = await open<typeof import('./tasks.ts')>({
	queue: process.env['DATABASE_URL'] ?? 'postgres://',
	tasks: new URL('./tasks.ts', import.meta.url),
	workers: 1,
	closeOnSignals: true,
});
faena.on('completed', ({id, durationMs}) => console.log(`job ${id}: ${Math.round(durationMs)} ms`));
console.log(`${hostname()}, process ${process.pid}, works. Stop it with Ctrl-C.`);
// An engine does not keep a program alive while it has nothing to do.
setInterval(() => {}, 60_000);

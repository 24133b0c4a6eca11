/**
 * Fingerprints texts, to find those that are nearly the same: read → normalise → fingerprint, each step fed by the one before.
 *
 *     node examples/pipeline/main.ts texts.ndjson > fingerprints.ndjson
 *
 * Stopped or killed and started again it goes on where it was; no text gets lost or is printed twice. Exit code: 0 all done,
 * 1 some texts failed.
 */
import {resolve} from 'node:path';
import {type JobId, open} from '../../lib/index.ts'; // 'faena' in a program of your own

const file = resolve(process.argv[2] ?? 'texts.ndjson');
const faena = await open<typeof import('./tasks.ts')>({
	queue: 'texts.db',
	tasks: new URL('./tasks.ts', import.meta.url),
	defaults: {maxAttempts: 1}, // a computation fails the same way each time
	closeOnSignals: true,
});
// The key makes it one job, however often this program is started.
await faena.enqueue('read', {file, from: 0}, {key: file});
await faena.idle();
for await (const id of ended('completed')) {
	const {id: text, minima} = await faena.handle('fingerprint', id).result();
	console.log(JSON.stringify({id: text, minima: Buffer.from(minima.buffer).toString('base64')}));
}
for await (const id of ended('dead')) {
	console.error(`job ${id}: ${(await faena.job(id))?.error?.message}`);
	process.exitCode = 1;
}
await faena.close();

/** Ids of jobs that ended like this: of the last step, or of any if they failed. */
async function* ended(status: 'completed' | 'dead'): AsyncGenerator<JobId> {
	const filter = status === 'completed' ? {status, task: 'fingerprint'} : {status};
	for (let after = 0; ; ) {
		const page = await faena.jobs(filter, {after});
		for (const {id} of page) yield id;
		if (page.length === 0) return;
		after = page.at(-1)?.id ?? after;
	}
}

import {join} from 'node:path';
import Database from 'better-sqlite3';
import {appears} from '../fixtures/appears.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

for (const isolation of ['thread', 'process'] as const) {
	test(`a timeout is enforced while another program has the database's lock and an enqueue waits for it, with isolation ${isolation}`, async t => {
		const folder = makeFolder(t);
		const [queue = '', begun = '', stopped = ''] = ['jobs.db', 'begun', 'stopped'].map(name => join(folder, name));
		const faena = await openEngine(t, {queue, isolation, workers: 1, grace: '1m'});
		const job = await faena.enqueue('heedInFiles', {begun, stopped}, {timeout: 500, maxAttempts: 1});
		await appears(begun);
		const other = new Database(queue);
		t.teardown(() => other.close());
		other.exec('begin immediate');
		const waiting = faena.enqueue('add', {a: 1, b: 2});
		await appears(stopped);
		other.exec('commit');
		// An enqueue that has waited for ten seconds is refused: so the stop was not kept waiting for so long.
		t.is(await (await waiting).result(), 3);
		t.like(await job.outcome(), {status: 'dead', error: {reason: 'timedOut'}});
	});
}

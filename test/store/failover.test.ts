import {setTimeout as sleep} from 'node:timers/promises';
import test from 'ava';
import {openQueue} from '../../lib/queue.ts';
import {CuttingProxy} from '../fixtures/cutting-proxy.ts';
import {openEngine} from '../fixtures/engine.ts';
import {PostgresServer} from '../fixtures/postgres-server.ts';

test('failover to a standby, with synchronous replication: nothing that was acknowledged is lost, and the engine goes on', async t => {
	t.timeout(180_000);
	const primary = await PostgresServer.start();
	const standby = await primary.makeStandby();
	const proxy = await CuttingProxy.start(primary.url);
	t.teardown(async () => {
		await proxy.stop();
		await Promise.all([primary.stop(), standby.stop()]);
	});
	const faena = await openEngine(t, {queue: proxy.url});
	const acknowledged = new Map<number, string>();
	let enqueued = 0;
	let isEnded = false;
	const producers = Array.from({length: 4}, async () => {
		while (!isEnded) {
			const token = `token ${enqueued++}`;
			const job = await faena.enqueue('echo', token).catch(() => undefined);
			if (job) acknowledged.set(job.id, token);
			else await sleep(10);
		}
	});
	while (acknowledged.size < 300) await sleep(20);
	const before = acknowledged.size;
	await primary.kill();
	await standby.promote();
	proxy.leadTo(standby.url);
	while (acknowledged.size < before + 200) await sleep(20);
	isEnded = true;
	await Promise.all(producers);
	await faena.idle();
	await faena.close();
	const queue = await openQueue(standby.url);
	const jobs = new Map<number, string>();
	for await (const {id, status} of queue.jobs({})) jobs.set(id, status);
	t.deepEqual(
		[...acknowledged.keys()].filter(id => jobs.get(id) !== 'completed'),
		[],
	);
	await queue.close();
});

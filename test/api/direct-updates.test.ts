import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {DirectUpdateWriter} from '../../lib/api/direct-updates.ts';
import type {Claim} from '../../lib/job/claim.ts';
import {type JobQueue, openQueue} from '../../lib/queue.ts';
import {makeFolder} from '../fixtures/folder.ts';

async function openFile(t: ExecutionContext) {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueue(path);
	const db = new Database(path);
	t.teardown(async () => {
		db.close();
		await queue.close();
	});
	return {queue, db};
}

/** Enqueues so many jobs and claims them. */
async function claimJobs(queue: JobQueue, count: number): Promise<readonly Claim[]> {
	await queue.enqueue(Array.from({length: count}, () => ({task: 'run', payload: 1})));
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['run'], limit: count});
	return jobs.map(({id, execution}) => ({id, lease, execution}));
}

test('a checkpoint of a task that computes is written in its call, once the lock that was in the way is free', async t => {
	const {queue, db} = await openFile(t);
	const [claim] = (await claimJobs(queue, 1)) as [Claim];
	const writer = new DirectUpdateWriter(queue.store);
	const stored = () => db.prepare('select state from checkpoint').pluck().all();
	// Another call also waits for the lock, and would come first.
	db.exec('begin immediate');
	const waits = queue.pause(['other']);
	writer.add({...claim, checkpoint: {at: 1, state: '1'}});
	db.exec('commit');
	t.deepEqual(stored(), []);
	writer.add({...claim, logs: [{at: 2, level: 'info', text: 'line'}]});
	t.deepEqual(stored(), ['1']);
	writer.add({...claim, checkpoint: {at: 2, state: '2'}});
	t.deepEqual(stored(), ['2']);
	await waits;
	t.deepEqual(await writer.takeUnwritten([1]), []);
	t.is((await queue.logs(1)).length, 1);
});

test('updates of two jobs that run at the same time stay apart, and those of one that still runs stay until it ends', async t => {
	const {queue} = await openFile(t);
	const [one, two] = (await claimJobs(queue, 2)) as [Claim, Claim];
	const writer = new DirectUpdateWriter(queue.store);
	const progress = (done: number) => ({progress: {done, at: done}});
	writer.add({...one, startedAt: 1});
	writer.add({...two, startedAt: 2});
	writer.add({...one, ...progress(10)});
	writer.add({...two, ...progress(20)});
	writer.add({...one, ...progress(11)});
	t.deepEqual(await writer.takeUnwritten([one.id]), [{...one, startedAt: 1, ...progress(11)}]);
	writer.add({...two, checkpoint: {at: 3, state: '1'}});
	t.like(await queue.job(two.id), {startedAt: 2, progress: {done: 20}});
	t.is((await queue.values(two.id))?.checkpoint?.state, 1);
	writer.add({...two, ...progress(21)});
	writer.add({...two, lease: two.lease + 1, ...progress(22)});
	t.deepEqual(await writer.takeUnwritten([one.id]), []);
	t.deepEqual(await writer.takeUnwritten([two.id]), [
		{...two, ...progress(21)},
		{...two, lease: two.lease + 1, ...progress(22)},
	]);
});

test("updates that the store refuses take no other job's updates with them", async t => {
	const {queue} = await openFile(t);
	const [one, two, three] = (await claimJobs(queue, 3)) as [Claim, Claim, Claim];
	const writer = new DirectUpdateWriter(queue.store);
	// A column of whole numbers takes no text.
	writer.add({...one, progress: {done: 'many' as never, at: 1}});
	writer.add({...three, logs: [{at: 2, level: 'info', text: 'line'}]});
	writer.add({...two, checkpoint: {at: 3, state: '2'}});
	t.deepEqual(await writer.takeUnwritten([two.id]), []);
	t.is((await queue.values(two.id))?.checkpoint?.state, 2);
	t.deepEqual((await writer.takeUnwritten([three.id])).length, 1);
	writer.add({...one, checkpoint: {at: 4, state: '1'}});
	await writer.takeUnwritten([one.id]);
	writer.add({...one, checkpoint: {at: 5, state: '5'}});
	await writer.takeUnwritten([one.id]);
	t.is((await queue.values(one.id))?.checkpoint?.state, 5);
});

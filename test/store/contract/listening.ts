import type {Claim} from '../../../lib/job/claim.ts';
import type {News} from '../../../lib/store/store.ts';
import {claimsOf, commit, completeAll, enqueue, law, listenTo, newJob, OTHER, OWNER, T0, take} from './laws.ts';

law("a listener gets no news of its own store's changes", async (t, queue, clock) => {
	const heard = listenTo(queue, clock, OWNER);
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await commit(queue, {update: [{...claim, progress: {done: 1, at: T0}}], settle: [{...claim, outcome: {type: 'returned', value: '1'}}]});
	t.deepEqual(
		(await heard()).filter(({type}) => type !== 'health'),
		[],
	);
});

law("a listener gets the store's health about every second", async (t, queue, clock) => {
	const heard = listenTo(queue, clock, undefined);
	const news = await heard(5000);
	t.true(news.length >= 3 && news.length <= 6, `${news.length}`);
	for (const each of news) t.true(each.type === 'health' && each.logBytes >= 0 && each.databaseBytes >= each.freeBytes, JSON.stringify(each));
});

law('each listener gets news of a completed batch once, after the commit that completed it', async (t, queue, clock) => {
	const counts: Promise<number>[] = [];
	queue.store.listen(undefined, news => void (news.type === 'batchCompleted' && counts.push(queue.counts().then(({completed}) => completed))));
	const heard = listenTo(queue, clock, OTHER);
	const batch = await queue.openBatch('one', 'hash', OWNER);
	await enqueue(queue, newJob({batch}), newJob({batch}));
	await queue.endInput(batch, 2, OWNER);
	await completeAll(queue);
	t.deepEqual(await Promise.all(counts), [2]);
	const completed = {blocked: 0, pending: 0, running: 0, failed: 0, completed: 2, dead: 0, cancelled: 0};
	t.deepEqual(
		(await heard()).filter(({type}) => type !== 'health'),
		[{type: 'batchCompleted', batch: 'one', counts: completed}],
	);
});

law('a store does not poll again before its listener is done, and then reports all changes', async (t, queue, clock) => {
	const stops: (readonly Claim[])[] = [];
	let done = () => {};
	queue.store.listen(OWNER, async news => {
		if (news.type !== 'changed') return;
		stops.push(news.stop);
		await new Promise<void>(resolve => {
			done = resolve;
		});
	});
	await enqueue(queue, newJob(), newJob());
	const claims = claimsOf(await take(queue, 2));
	await queue.cancel({ids: [1]});
	for (let look = 0; look < 5; look++) await clock.advance(100);
	await queue.cancel({ids: [2]});
	for (let look = 0; look < 5; look++) await clock.advance(100);
	t.deepEqual(stops, [claims.slice(0, 1)]);
	done();
	for (let look = 0; look < 5; look++) await clock.advance(100);
	t.deepEqual(stops.at(-1), claims);
});

law('a removed listener is not called any more, and others still are', async (t, queue, clock) => {
	const ended: News[] = [];
	const end = queue.store.listen(OWNER, news => void ended.push(news));
	const heard = listenTo(queue, clock, OWNER);
	await heard();
	end();
	const before = ended.length;
	await enqueue(queue, newJob());
	await take(queue);
	await queue.cancel({});
	const batch = await queue.openBatch('one', 'hash', OTHER);
	await queue.endInput(batch, 0, OTHER);
	t.true((await heard(2000)).length > 1);
	t.is(ended.length, before);
});

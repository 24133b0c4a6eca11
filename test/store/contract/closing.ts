import type {Store} from '../../../lib/store/store.ts';
import {FaenaError} from '../../../lib/support/errors.ts';
import type {RawQueue} from '../../fixtures/raw-queue.ts';
import {enqueue, law, listenTo, newJob, OWNER, T0, take} from './laws.ts';

type Verbs<Of> = Exclude<keyof Of, 'location' | 'close' | typeof Symbol.asyncDispose>;

const VERBS: Readonly<Record<Exclude<Verbs<RawQueue>, 'store' | 'onEnqueue' | 'onBatchCompleted' | 'announce'>, (queue: RawQueue) => unknown>> = {
	enqueue: queue => queue.enqueue([]),
	dequeue: queue => queue.dequeue({owner: OWNER, tasks: []}),
	settle: queue => queue.settle(1, []),
	complete: queue => queue.complete({id: 1, lease: 1, execution: 1}),
	fail: queue => queue.fail({id: 1, lease: 1, execution: 1}, new Error('late')),
	cancel: queue => queue.cancel({}),
	discard: queue => queue.discard([1], {stop: true}),
	retry: queue => queue.retry({}),
	edit: queue => queue.edit(1, {priority: 1}),
	pause: queue => queue.pause(['hash']),
	resume: queue => queue.resume(['hash']),
	adopt: queue => queue.adopt('a', 'b'),
	paused: queue => queue.paused(),
	heartbeat: queue => queue.heartbeat(OWNER),
	reclaim: queue => queue.reclaim(),
	release: queue => queue.release(OWNER, 0),
	leave: queue => queue.leave(OWNER),
	job: queue => queue.job(1),
	jobs: queue => queue.jobs({}).page(),
	values: queue => queue.values(1),
	outcomes: queue => queue.outcomes([1]),
	logs: queue => queue.logs(1),
	history: queue => queue.history(1),
	counts: queue => queue.counts(),
	openBatch: queue => queue.openBatch('nightly', 'hash', OWNER),
	closeBatch: queue => queue.closeBatch(1, OWNER),
	leaveBatch: queue => queue.leaveBatch(1, OWNER),
	endInput: queue => queue.endInput(1, 1, OWNER),
	deleteBatch: queue => queue.deleteBatch('nightly'),
	batch: queue => queue.batch('nightly'),
	batches: queue => queue.batches(),
	cleanup: queue => queue.store.delete({endedBefore: T0}),
};

const STORE_VERBS: Readonly<Record<Exclude<Verbs<Store>, 'now' | 'ownerFiles' | 'leaseMs' | 'threadLocation' | 'schemaVersion'>, (store: Store) => unknown>> = {
	commit: store => store.commit({}),
	move: store => store.move({}, 'cancelled'),
	setPaused: store => store.setPaused(['hash'], true),
	adopt: store => store.adopt('a', 'b'),
	heartbeat: store => store.heartbeat(OWNER),
	release: store => store.release(OWNER),
	reclaim: store => store.reclaim(),
	jobs: store => store.jobs({}),
	outcomes: store => store.outcomes([1]),
	holders: store => store.holders({task: 'hash'}, ['a']),
	counts: store => store.counts(),
	openBatch: store => store.openBatch('nightly', 'hash', OWNER),
	updateBatch: store => store.updateBatch(1, OWNER, {total: 1}),
	batches: store => store.batches(),
	schedules: store => store.schedules(),
	delete: store => store.delete({endedBefore: T0}),
	listen: store => store.listen(OWNER, () => undefined),
};

law('each verb of a closed store and of its queue fails with Closed, but it may be closed again', async (t, queue) => {
	await enqueue(queue, newJob());
	await queue.close();
	const asks = [...Object.entries(VERBS), ...Object.entries(STORE_VERBS).map(([verb, ask]) => [verb, (queue: RawQueue) => ask(queue.store)] as const)];
	for (const [verb, ask] of asks) {
		await t.throwsAsync(async () => ask(queue), {instanceOf: FaenaError, code: 'Closed', message: 'This queue is closed.'}, verb);
	}
	await queue.close();
	t.true(queue.location.length > 0);
});

law('a closed store does not call its listeners', async (t, queue, clock) => {
	const heard = listenTo(queue, clock, OWNER);
	t.true((await heard(3000)).length > 0);
	await queue.close();
	t.deepEqual(await heard(3000), []);
});

law('a close releases the jobs of the owners, and reports a batch that completes by that', async (t, queue) => {
	const heard: string[] = [];
	queue.onBatchCompleted(({batch}) => heard.push(batch));
	const batch = await queue.openBatch('one', 'hash', OWNER);
	await enqueue(queue, newJob({batch}));
	await take(queue);
	await queue.endInput(batch, 1, OWNER);
	await queue.cancel({});
	t.deepEqual(heard, []);
	await queue.close();
	t.deepEqual(heard, ['one']);
});

import test from 'ava';
import {enqueueMany} from '../../lib/api/enqueue-many.ts';
import {Events} from '../../lib/api/events.ts';
import {JobBuilder} from '../../lib/job/new-job.ts';
import {DispatcherClient} from '../../lib/transport/client.ts';
import type {EnqueueReply} from '../../lib/transport/messages.ts';
import {answering} from '../fixtures/answering.ts';

test('enqueueMany() reports no ids of a group that was not stored for want of room', async t => {
	const reply: EnqueueReply = {ids: [], full: {of: 'task', pending: 3, limit: 3, retryAfterMs: 1000}};
	const client = new DispatcherClient(answering({value: reply}), new Events('jobs.db', undefined));
	await t.throwsAsync(enqueueMany(client, new JobBuilder([], {}, 1024), 'count', [1, 2], {}), {code: 'QueueFull', message: /^Task count has 3 pending jobs/});
});

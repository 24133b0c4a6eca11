import test from 'ava';
import {Events} from '../../lib/api/events.ts';
import {JobHandle} from '../../lib/api/job-handle.ts';
import {infoOf} from '../../lib/api/job-info.ts';
import {toEnvelope} from '../../lib/job/failure.ts';
import {JobBuilder} from '../../lib/job/new-job.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {DispatcherClient} from '../../lib/transport/client.ts';
import type {Call} from '../../lib/transport/messages.ts';
import {answering} from '../fixtures/answering.ts';
import {newJob} from '../fixtures/dispatcher.ts';
import {RawQueue} from '../fixtures/raw-queue.ts';
import {MemoryStore} from '../store/oracle.ts';

test('a wait rejects if the dispatcher can not tell whether the job has ended', async t => {
	const handle = new JobHandle(
		new DispatcherClient(answering({error: toEnvelope(new FaenaError('OutcomeUnknown', 'The disk did not say.'))}), new Events('jobs.db', undefined)),
		new JobBuilder([], {}, 1024),
		1,
		{reused: false},
	);
	await t.throwsAsync(handle.result(), {code: 'OutcomeUnknown', message: 'The disk did not say.'});
});

test('a job is shown at one moment, also if it ends meanwhile', async t => {
	const store = new MemoryStore();
	const queue = new RawQueue(store);
	await queue.enqueue([newJob()]);
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['count']});
	const answer = async (verb: string, args: readonly unknown[]) => {
		const target = verb === 'jobs' ? store : queue;
		const value = await (target as unknown as Readonly<Record<string, (...args: readonly unknown[]) => unknown>>)[verb]?.(...args);
		await queue.settle(
			lease,
			jobs.map(({id, execution}) => ({id, execution, outcome: {type: 'returned', value: '7'}})),
		);
		return value;
	};
	const transport = answering(async (call: Call) => ({value: call.type === 'verb' ? await answer(call.verb, call.args) : undefined}));
	const client = new DispatcherClient(transport, new Events('jobs.db', undefined));
	const before = await infoOf(client, 1);
	t.like(before, {status: 'running', history: [], logs: []});
	t.false('result' in (before ?? {}));
	t.like(await infoOf(client, 1), {status: 'completed', result: 7, history: [{status: 'completed'}]});
	t.is(await infoOf(client, 2), undefined);
});

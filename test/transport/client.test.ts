import test from 'ava';
import type {EventName, JobEvent} from '../../lib/job/events.ts';
import {toEnvelope} from '../../lib/job/failure.ts';
import type {JobId} from '../../lib/job/job.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {DispatcherClient, type Transport, type Watcher} from '../../lib/transport/client.ts';
import type {Call, DispatcherMessage, Notice, RepliesMessage} from '../../lib/transport/messages.ts';

/** The way to a dispatcher that a test plays. */
class HandTransport implements Transport {
	readonly tasks = [{name: 'count', options: {}}];
	readonly sent: (readonly Call[])[] = [];
	/** How often `ref` was called more than `unref`. */
	refs = 0;
	ends = 0;
	tell: (message: DispatcherMessage) => void = () => undefined;
	fail: (error: FaenaError) => void = () => undefined;

	send(calls: readonly Call[]): void {
		this.sent.push(calls);
	}

	listen(onMessage: (message: DispatcherMessage) => void, onEnd: (error: FaenaError) => void): void {
		this.tell = onMessage;
		this.fail = onEnd;
	}

	ref(): void {
		this.refs++;
	}

	unref(): void {
		this.refs--;
	}

	async end(): Promise<void> {
		this.ends++;
	}

	reply(parts: Partial<RepliesMessage>): void {
		this.tell({type: 'replies', replies: [], completed: [], notices: [], events: [], ...parts});
	}
}

function setUp() {
	const transport = new HandTransport();
	const events: JobEvent[] = [];
	const logged: unknown[][] = [];
	/** The events that are wanted from now on, if they have changed. */
	const wanted: EventName[][] = [];
	const client = new DispatcherClient(transport, {
		changedSubscriptions: () => wanted.shift(),
		publish: event => void events.push(event),
		log: (...args) => void logged.push(args),
		warn: sentence => void logged.push([sentence]),
	});
	const ends: [JobId, Notice | FaenaError][] = [];
	const watcher =
		(id: JobId): Watcher =>
		end =>
			void ends.push([id, end]);
	return {client, transport, events, logged, wanted, ends, watcher};
}

const notice = (id: JobId): Notice => ({id, status: 'completed', result: null});
const turn = () => new Promise(resolve => setImmediate(resolve));

test('calls of one turn travel in one message, each with a number of its own', async t => {
	const {client, transport} = setUp();
	t.is(client.tasks, transport.tasks);
	const answers = [client.verb('paused'), client.call({type: 'stats'})];
	t.deepEqual(transport.sent, []);
	await turn();
	t.deepEqual(transport.sent, [
		[
			{type: 'verb', verb: 'paused', args: [], call: 1},
			{type: 'stats', call: 2},
		],
	]);
	transport.reply({
		replies: [
			{call: 2, value: 'stats'},
			{call: 1, value: ['count']},
		],
	});
	t.deepEqual(await Promise.all(answers), [['count'], 'stats']);
	void client.verb('batch', 'count');
	await turn();
	t.deepEqual(transport.sent.slice(1), [[{type: 'verb', verb: 'batch', args: ['count'], call: 3}]]);
});

test('a call that is refused rejects with an error of the same code', async t => {
	const {client, transport} = setUp();
	const answer = client.verb('paused');
	await turn();
	transport.reply({replies: [{call: 1, error: toEnvelope(new FaenaError('DatabaseBusy', 'locked'))}]});
	await t.throwsAsync(answer, {instanceOf: FaenaError, code: 'DatabaseBusy', message: 'locked'});
});

test('the process stays alive while an answer or the end of a job is awaited, or the client is on hold', async t => {
	const {client, transport, watcher} = setUp();
	t.is(transport.refs, 0);
	void client.call({type: 'stats'});
	void client.call({type: 'stats'});
	await turn();
	t.is(transport.refs, 1);
	transport.reply({replies: [{call: 1, value: 1}]});
	t.is(transport.refs, 1);
	transport.reply({replies: [{call: 2, value: 1}]});
	t.is(transport.refs, 0);
	const first = watcher(1);
	client.watch(1, first);
	client.watch(1, watcher(1));
	t.is(transport.refs, 1);
	transport.reply({notices: [notice(1)]});
	t.is(transport.refs, 0);
	client.hold();
	client.hold();
	client.release();
	t.is(transport.refs, 1);
	client.release();
	t.is(transport.refs, 0);
});

test('all that watch a job hear of its end once; notices of other jobs are ignored', t => {
	const {client, transport, ends, watcher} = setUp();
	client.watch(1, watcher(1));
	client.watch(1, watcher(-1));
	client.watch(2, watcher(2));
	transport.reply({notices: [notice(9), notice(1), notice(1)]});
	t.deepEqual(ends, [
		[1, notice(1)],
		[-1, notice(1)],
	]);
});

test('a caller that has stopped watching gets no more ends; the dispatcher gets one message for each; other callers get theirs', async t => {
	const {client, transport, ends, watcher} = setUp();
	const [first, second] = [watcher(1), watcher(-1)];
	client.watch(1, first);
	client.watch(1, second);
	client.unwatch(1, first);
	client.unwatch(1, first);
	client.unwatch(9, first);
	await turn();
	t.deepEqual(transport.sent, [[{type: 'unwatch', ids: [1], call: 1}]]);
	transport.reply({replies: [{call: 1, value: undefined}]});
	t.is(transport.refs, 1);
	transport.reply({notices: [notice(1)]});
	t.deepEqual(ends, [[-1, notice(1)]]);
	t.is(transport.refs, 0);
	client.watch(2, first);
	client.unwatch(2, first);
	await turn();
	transport.reply({replies: [{call: 2, value: undefined}]});
	t.is(transport.refs, 0);
});

test('a change of the wanted events comes before the calls of a message', async t => {
	const {client, transport, events, wanted} = setUp();
	wanted.push(['completed']);
	void client.call({type: 'stats'});
	void client.call({type: 'stats'});
	await turn();
	t.deepEqual(
		transport.sent.map(calls => calls.map(({type, call}) => [type, call])),
		[
			[
				['subscribe', 1],
				['stats', 2],
				['stats', 3],
			],
		],
	);
	transport.reply({events: [{type: 'recovered', jobs: 1}]});
	t.deepEqual(events, [{type: 'recovered', jobs: 1}]);
	wanted.push(['dead']);
	client.subscribe();
	client.subscribe();
	await turn();
	t.deepEqual(transport.sent[1], [{type: 'subscribe', events: ['dead'], call: 4}]);
});

test('the question for signals is answered two turns later, so that a signal that has come was handled', async t => {
	const {transport} = setUp();
	transport.tell({type: 'signalQuery'});
	await turn();
	t.deepEqual(transport.sent, []);
	await turn();
	t.deepEqual(transport.sent, [[{type: 'signalAnswered', call: 0}]]);
});

test('a dispatcher that fails fails all that waits, and all later calls, with its error; it is ended, and the failure is logged once', async t => {
	const {client, transport, ends, logged, watcher} = setUp();
	const ended: string[] = [];
	const stop = client.onEnd(({message}) => void ended.push(message));
	client.onEnd(({message}) => void ended.push(message));
	stop();
	const answer = client.verb('paused');
	client.watch(1, watcher(1));
	await turn();
	t.false(client.isClosed);
	transport.tell({type: 'failed', error: toEnvelope(new FaenaError('BadDatabase', 'gone'))});
	await t.throwsAsync(answer, {code: 'BadDatabase'});
	t.like(ends, [[1, {code: 'BadDatabase'}]]);
	t.deepEqual([client.isClosed, transport.ends, transport.refs], [true, 1, 0]);
	t.like(logged, [['dispatcherFailed', {error: {message: 'gone'}}]]);
	transport.fail(new FaenaError('DispatcherFailed', 'its thread ended'));
	t.is(logged.length, 1);
	await t.throwsAsync(client.verb('paused'), {code: 'BadDatabase'});
	client.watch(2, watcher(2));
	t.like(ends[1], [2, {code: 'BadDatabase'}]);
	t.is(ends.length, 2);
	client.onEnd(({message}) => void ended.push(`late: ${message}`));
	t.deepEqual(ended, ['gone', 'late: gone']);
	t.is(transport.sent.length, 1);
	t.is(transport.refs, 0);
});

test('a thread that ends by itself fails the pending calls', async t => {
	const {client, transport, logged} = setUp();
	const answer = client.verb('paused');
	transport.fail(new FaenaError('DispatcherFailed', 'its thread ended'));
	await t.throwsAsync(answer, {code: 'DispatcherFailed'});
	t.is(logged.length, 1);
	t.is(transport.ends, 0);
});

test('a dispatcher that fails while nobody waits for it warns, as in a worker of other programs’ jobs', async t => {
	const {transport, logged} = setUp();
	transport.fail(new FaenaError('DispatcherFailed', 'Its thread ended.'));
	t.like(logged, [['dispatcherFailed', {error: {message: 'Its thread ended.'}}], ['Its thread ended. No job runs here until the next open().']]);
});

test('after its end a client refuses calls, and those that waited for jobs hear that these are safe; nothing is logged', async t => {
	const {client, transport, ends, logged, watcher} = setUp();
	client.watch(1, watcher(1));
	await client.terminate();
	t.like(ends, [[1, {code: 'Closed', message: 'The engine was closed before the job ended; the job itself is safe in the queue.'}]]);
	t.deepEqual([transport.ends, transport.refs, client.isClosed], [1, 0, true]);
	await t.throwsAsync(client.verb('paused'), {code: 'Closed', message: 'This engine is closed; open() another one.'});
	transport.fail(new FaenaError('DispatcherFailed', 'its thread ended'));
	t.deepEqual(logged, []);
	await t.throwsAsync(client.verb('paused'), {code: 'Closed'});
	t.deepEqual(transport.sent, []);
});

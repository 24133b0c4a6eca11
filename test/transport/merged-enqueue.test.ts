import {MessageChannel, receiveMessageOnPort} from 'node:worker_threads';
import test from 'ava';
import type {Encoded} from '../../lib/job/encoding.ts';
import {toEnvelope} from '../../lib/job/failure.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {DispatcherClient, type Transport} from '../../lib/transport/client.ts';
import type {SingleJob} from '../../lib/transport/merged-enqueue.ts';
import {type Call, type DispatcherMessage, type EnqueueReply, payloadBuffers, type Reply} from '../../lib/transport/messages.ts';
import {POLICY} from '../fixtures/dispatcher.ts';

/** A client whose calls go through a real port, as those to a dispatcher's thread do. */
function setUp() {
	const sent: Call[][] = [];
	const {port1, port2} = new MessageChannel();
	let tell: (message: DispatcherMessage) => void = () => undefined;
	const transport: Transport = {
		tasks: [],
		send(calls) {
			port1.postMessage(calls, payloadBuffers(calls));
			sent.push((receiveMessageOnPort(port2) as {message: Call[]}).message);
		},
		listen: onMessage => {
			tell = onMessage;
		},
		ref: () => undefined,
		unref: () => undefined,
		end: async () => undefined,
	};
	const client = new DispatcherClient(transport, {
		changedSubscriptions: () => undefined,
		publish: () => undefined,
		log: () => undefined,
		warn: () => undefined,
	});
	const answers: unknown[] = [];
	const enqueue = (payload: Encoded, parts: Partial<SingleJob> = {}, options: Partial<SingleJob['options']> = {}) => {
		const index = answers.push('none') - 1;
		const job: SingleJob = {payload, key: undefined, watch: false, ...parts, options: {task: 'count', policy: POLICY, priority: 0, runAt: null, ...options}};
		client.enqueue(job, {
			resolve: (reply: EnqueueReply) => {
				answers[index] = reply;
			},
			reject: error => {
				answers[index] = (error as FaenaError).code;
			},
		});
	};
	return {client, sent, enqueue, answers, reply: (...replies: Reply[]) => tell({type: 'replies', replies, completed: [], notices: [], events: []})};
}

const turn = () => new Promise(resolve => setImmediate(resolve));
/** The payloads of each call of a message. */
const payloadsOf = (calls: readonly Call[] = []) =>
	calls.map(call => (call.type === 'enqueue' ? ('text' in call.group.values ? call.group.values.text : '') : call.type));

test('single jobs of one turn that are alike travel as one group, and each gets its own answer', async t => {
	const {sent, enqueue, answers, reply} = setUp();
	for (const payload of ['1', '2', '3']) enqueue(payload);
	await turn();
	t.deepEqual(sent.map(payloadsOf), [['1\n2\n3']]);
	reply({call: 1, value: {ids: 7}});
	t.deepEqual(answers, [{ids: 7}, {ids: 8}, {ids: 9}]);
});

test('equal policies need not be the same object', async t => {
	const {sent, enqueue} = setUp();
	for (const payload of ['1', '2']) enqueue(payload, {}, {policy: {...POLICY}});
	await turn();
	t.deepEqual(sent.map(payloadsOf), [['1\n2']]);
});

test('those with keys keep them, and each hears whether its key existed', async t => {
	const {sent, enqueue, answers, reply} = setUp();
	for (const key of ['a', 'b', 'c']) enqueue('1', {key});
	await turn();
	t.like(sent[0]?.[0], {group: {keys: {count: 3, text: 'a\nb\nc'}}});
	reply({call: 1, value: {ids: [5, 1, 2], reused: [1], conflicts: [2]}});
	t.deepEqual(answers, [{ids: 5}, {ids: 1, reused: [0]}, {ids: 2, conflicts: [0]}]);
});

for (const [what, parts, options] of [
	['another task', {}, {task: 'other'}],
	['another policy', {}, {policy: {...POLICY, timeoutMs: 5}}],
	['another priority', {}, {priority: 1}],
	['another time', {}, {runAt: 5}],
	['a delay', {}, {delayMs: 5}],
	['an expiry', {}, {expiresMs: 5}],
	['another scope', {}, {scope: 'a'}],
	['a key that is unique while unended', {key: 'a'}, {unique: 'unended'}],
	['a key', {key: 'a'}, {}],
	['a watch', {watch: true}, {}],
	['a limit', {}, {maxPending: {all: 5}}],
] as const) {
	test(`a job with ${what} travels by itself`, async t => {
		const {sent, enqueue} = setUp();
		enqueue('1');
		enqueue('2', parts, options);
		enqueue('3');
		await turn();
		t.deepEqual(sent.map(payloadsOf), [['1', '2', '3']]);
	});
}

test('two jobs with a limit travel one by one, since a group is refused as a whole', async t => {
	const {sent, enqueue, answers, reply} = setUp();
	for (const payload of ['1', '2']) enqueue(payload, {}, {maxPending: {all: 1}});
	await turn();
	t.deepEqual(sent.map(payloadsOf), [['1', '2']]);
	const full = {of: 'all', pending: 1, limit: 1, retryAfterMs: 1000} as const;
	reply({call: 1, value: {ids: 3}}, {call: 2, value: {ids: [], full}});
	t.deepEqual(answers, [{ids: 3}, {ids: [], full}]);
});

test('the order of the calls stays: a job behind another call joins none before it', async t => {
	const {client, sent, enqueue} = setUp();
	enqueue('1');
	void client.verb('paused');
	enqueue('2');
	enqueue('3');
	await turn();
	enqueue('4');
	await turn();
	t.deepEqual(sent.map(payloadsOf), [['1', 'verb', '2\n3'], ['4']]);
});

for (const [code, isTriedAgain] of [
	['BadRow', true],
	['TooLarge', true],
	['StorageFull', false],
	['OutcomeUnknown', false],
] as const) {
	test(`after a refusal by ${code} ${isTriedAgain ? 'each job is enqueued by itself, since only one may be refused' : 'all are refused'}`, async t => {
		const {sent, enqueue, answers, reply} = setUp();
		enqueue('1');
		enqueue('2');
		await turn();
		reply({call: 1, error: toEnvelope(new FaenaError(code, 'no'))});
		await turn();
		if (!isTriedAgain) {
			t.deepEqual(answers, [code, code]);
			return;
		}
		t.deepEqual(sent.slice(1).map(payloadsOf), [['1', '2']]);
		reply({call: 2, value: {ids: 4}}, {call: 3, error: toEnvelope(new FaenaError(code, 'no'))});
		t.deepEqual(answers, [{ids: 4}, code]);
		t.is(sent.length, 2);
	});
}

test('after a refusal each large binary payload is sent again as it was', async t => {
	const {sent, enqueue, reply} = setUp();
	const payloads = [1, 2, 3, 4, 5, 6].map(byte => new Uint8Array(32 * 1024).fill(byte));
	for (const payload of payloads) enqueue(payload.slice());
	await turn();
	reply({call: 1, error: toEnvelope(new FaenaError('TooLarge', 'no'))});
	await turn();
	t.deepEqual(
		sent.slice(1).map(calls => calls.map(call => (call.type === 'enqueue' ? call.group.values : undefined))),
		[payloads.map(payload => [payload])],
	);
});

test('a client that has ended refuses at once', async t => {
	const {client, enqueue, answers} = setUp();
	await client.terminate();
	enqueue('1');
	t.deepEqual(answers, ['Closed']);
});

import {MessageChannel, receiveMessageOnPort} from 'node:worker_threads';
import test from 'ava';
import {decode, type Encoded, encode} from '../../lib/job/encoding.ts';
import {isTransferred, unpack} from '../../lib/job/groups/packed.ts';
import {type OutcomesMessage, transferListOf} from '../../lib/worker/messages.ts';

function outcomes(values: readonly Encoded[]): OutcomesMessage {
	return {type: 'outcomes', chunk: 1, first: 0, values, times: new Uint8Array()};
}

test('large binary values are transferred and arrive unchanged; others are copied', t => {
	const bytes = new Uint8Array(100_000).fill(7);
	const shared = new Uint8Array(new ArrayBuffer(200_000), 0, 100_000).fill(1);
	const values = [encode(bytes, 'result'), encode(new Map([[1, bytes]]), 'result'), encode(new Uint8Array(9), 'result'), 'x'.repeat(100_000), null, shared];
	const message = outcomes(values);
	const {port1, port2} = new MessageChannel();
	port1.postMessage(message, transferListOf(message));
	const {message: received} = receiveMessageOnPort(port2) as {message: OutcomesMessage};
	t.deepEqual(values.map(isTransferred), [true, true, false, false, false, false]);
	const [first = null, second = null, ...others] = unpack(received.values);
	t.deepEqual(decode(first), bytes);
	t.deepEqual(decode(second), new Map([[1, bytes]]));
	t.deepEqual(others, [encode(new Uint8Array(9), 'result'), 'x'.repeat(100_000), null, shared]);
	port1.close();
});

test('the buffer that the caller of encode() passed is never transferred', t => {
	for (const bytes of [new Uint8Array(100_000), Buffer.alloc(100_000)]) {
		const encoded = encode(bytes, 'payload') as Uint8Array;
		t.not(encoded.buffer, bytes.buffer);
	}
});

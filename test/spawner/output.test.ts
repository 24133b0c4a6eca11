import {PassThrough} from 'node:stream';
import test from 'ava';
import {readFrames, writeFrame} from '../../lib/spawner/frames.ts';
import {KeptOutput, OutputLines} from '../../lib/spawner/output.ts';
import fc from '../fixtures/property.ts';

const parts = fc.array(fc.uint8Array({maxLength: 40}).map(part => Buffer.from(part)));

test('of any output in any parts, exactly the first or the last bytes are kept, and the others are counted', t => {
	fc.assert(
		fc.property(parts, fc.integer({min: 1, max: 100}), (given, maxBytes) => {
			const all = Buffer.concat(given);
			const [first, last] = [new KeptOutput(maxBytes, 'first'), new KeptOutput(maxBytes, 'last')];
			for (const part of given) for (const kept of [first, last]) kept.add(part);
			t.deepEqual(first.bytes, all.subarray(0, maxBytes));
			t.deepEqual(last.bytes, all.subarray(Math.max(0, all.length - maxBytes)));
			for (const {cut} of [first, last]) t.is(cut, Math.max(0, all.length - maxBytes));
		}),
	);
});

test('a text that was cut begins and ends with a whole character', t => {
	fc.assert(
		fc.property(fc.string({unit: 'grapheme', minLength: 1}), fc.integer({min: 4, max: 30}), (text, maxBytes) => {
			const [first, last] = [new KeptOutput(maxBytes, 'first'), new KeptOutput(maxBytes, 'last')];
			for (const kept of [first, last]) kept.add(Buffer.from(text));
			t.true(text.startsWith(first.text));
			t.true(text.endsWith(last.text));
			t.true(Buffer.byteLength(text) <= maxBytes ? first.text === text : Buffer.byteLength(first.text) > maxBytes - 4);
		}),
	);
});

test('lines are the same however the output is parted', t => {
	const text = 'one\n\n  two\r\nzwölf 😀\n10 %\r20 %\r\nlast';
	fc.assert(
		fc.property(fc.array(fc.integer({min: 1, max: 9})), sizes => {
			const lines = new OutputLines();
			const found = [];
			let at = 0;
			const bytes = Buffer.from(text);
			for (const size of [...sizes, bytes.length]) {
				lines.add('stdout', bytes.subarray(at, at + size));
				at += size;
				if (size % 2 === 0) found.push(...lines.take(false));
			}
			found.push(...lines.take(true));
			t.deepEqual(
				found.map(line => line.text),
				['one', '  two', 'zwölf 😀', '20 %', 'last'],
			);
		}),
	);
});

test('of more output than is taken, the last lines are kept; an endless line becomes several', t => {
	const lines = new OutputLines();
	for (let number = 0; number < 100_000; number++) lines.add('stderr', Buffer.from(`${number}\n`));
	const found = lines.take(true);
	t.is(found.at(-1)?.text, '99999');
	t.true(found.length > 200 && found.length < 20_000);
	for (let part = 0; part < 100; part++) lines.add('stdout', Buffer.alloc(1000, 'x'));
	t.true(lines.take(false).length > 0);
});

test('of a flood no line is made of the beginning of one and the end of another', t => {
	const lines = new OutputLines();
	lines.add('stdout', Buffer.from('first '));
	t.deepEqual(lines.take(false), []);
	for (let line = 0; line < 20_000; line++) lines.add('stdout', Buffer.from(`middle ${line}\n`));
	t.deepEqual(
		lines.take(true).filter(({text}) => !/^middle \d+$/.test(text)),
		[],
	);
});

test('messages arrive whole, however they are parted on the way', t => {
	const message = fc.record({kind: fc.nat(255), id: fc.nat(2 ** 32 - 1), body: fc.uint8Array({maxLength: 5000, size: 'max'})});
	fc.assert(
		fc.property(fc.array(message, {maxLength: 8}), fc.integer({min: 1, max: 6000}), (messages, size) => {
			const sent = new PassThrough({highWaterMark: 1e6});
			for (const {kind, id, body} of messages) writeFrame(sent, kind, id, body);
			// Node 26 reads the parts one by one.
			const parts: Buffer[] = [];
			for (let part = sent.read(); part !== null; part = sent.read()) parts.push(part);
			const bytes = Buffer.concat(parts);
			const [stream, found] = [new PassThrough(), [] as unknown[]];
			readFrames(stream, (kind, id, body) => found.push({kind, id, body: new Uint8Array(body)}));
			for (let at = 0; at < bytes.length; at += size) stream.emit('data', bytes.subarray(at, at + size));
			t.deepEqual(found, messages);
		}),
		{numRuns: 50},
	);
});

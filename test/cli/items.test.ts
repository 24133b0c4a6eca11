import {Readable} from 'node:stream';
import test from 'ava';
import {linesOf} from '../../lib/cli/input.ts';

test('a byte order mark alone is an input without lines', async t => {
	for (const [text, payloads] of [
		['\uFEFF', []],
		['\uFEFF\n', ['']],
		['\uFEFFa', ['a']],
		['a\n\uFEFF', ['a', '\uFEFF']],
	] as const) {
		const found: unknown[] = [];
		// One byte at a time, since a mark may come in parts.
		for await (const {payload} of linesOf(Readable.from([...Buffer.from(text)].map(byte => Buffer.from([byte]))), {json: false})) found.push(payload);
		t.deepEqual(found, [...payloads]);
	}
});

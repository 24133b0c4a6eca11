import {Readable} from 'node:stream';
import test from 'ava';
import {linesOf} from '../../lib/cli/items.ts';

test('the mark of a text from Windows is no line, also where there is nothing else', async t => {
	for (const [text, payloads] of [
		['\uFEFF', []],
		['\uFEFF\n', ['']],
		['\uFEFFa', ['a']],
		['a\n\uFEFF', ['a', '\uFEFF']],
	] as const) {
		const found: unknown[] = [];
		// A byte at a time: it may come in parts.
		for await (const {payload} of linesOf(Readable.from([...Buffer.from(text)].map(byte => Buffer.from([byte]))), {json: false})) found.push(payload);
		t.deepEqual(found, [...payloads]);
	}
});

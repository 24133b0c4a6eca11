import test from 'ava';
import fc from 'fast-check';
import {commitInParts, isRefusal} from '../../lib/dispatcher/retries.ts';
import {FaenaError} from '../../lib/support/errors.ts';

const refusal = new FaenaError('BadRow', 'refused');

/** Writes parts into a list, in transactions each of which is refused if one of its parts is. */
function store(isRefused: (part: number) => boolean, {failsAt = Infinity} = {}) {
	const written: number[] = [];
	const left: number[] = [];
	let commits = 0;
	return {
		written,
		left,
		steps: {
			async commit(parts: readonly number[]) {
				if (++commits >= failsAt) throw new FaenaError('StorageFull', 'full');
				if (parts.some(isRefused)) throw refusal;
				return parts;
			},
			async committed(parts: readonly number[], result: readonly number[]) {
				if (parts !== result) throw new Error('The result is that of other parts.');
				written.push(...parts);
			},
			// A part is replaced by its negative, if that is not refused as well.
			replace(part: number) {
				if (part > 0) return [-part];
				left.push(-part);
				return [];
			},
		},
		get commits() {
			return commits;
		},
	};
}

test('every part is written, in order; after them what is to be written instead of those that are refused; nothing more is left out', async t => {
	const parts = fc.array(fc.constantFrom('good', 'bad', 'hopeless'), {maxLength: 60});
	await fc.assert(
		fc.asyncProperty(parts, async kinds => {
			const all = kinds.map((_, index) => index + 1);
			const of = (kind: string) => all.filter(part => kinds[part - 1] === kind);
			const {written, left, steps} = store(part => kinds[Math.abs(part) - 1] === 'hopeless' || (part > 0 && kinds[part - 1] === 'bad'));
			t.is(await commitInParts(all, steps), undefined);
			t.deepEqual(written, [...of('good'), ...of('bad').map(part => -part)]);
			t.deepEqual(left, of('hopeless'));
		}),
	);
});

test('one part in a thousand is found in a few transactions', async t => {
	const all = Array.from({length: 1000}, (_, index) => index + 1);
	const found = store(part => part === 777);
	await commitInParts(all, found.steps);
	t.is(found.written.length, 1000);
	t.true(found.commits <= 22, `${found.commits}`);
});

test('what is written instead of refused parts shares a transaction, however many they are', async t => {
	const all = Array.from({length: 1000}, (_, index) => index + 1);
	const {written, steps} = store(part => part > 0);
	let transactions = 0;
	const committed = (parts: readonly number[], result: readonly number[]) => {
		transactions++;
		return steps.committed(parts, result);
	};
	await commitInParts(all, {...steps, committed});
	t.is(written.length, 1000);
	t.is(transactions, 1);
});

test('what fails for another reason ends it: what was not written is given back, in order', async t => {
	const all = Array.from({length: 50}, (_, index) => index + 1);
	for (let failsAt = 1; failsAt < 18; failsAt++) {
		const {written, steps} = store(part => part % 20 === 7, {failsAt});
		const stopped = await commitInParts(all, steps);
		t.like(stopped?.error, {code: 'StorageFull'});
		const both = [...written, ...(stopped?.left ?? [])];
		const inOrder = all.map(part => (both.includes(-part) ? -part : part));
		t.deepEqual(both, [...inOrder.filter(part => part > 0), ...inOrder.filter(part => part < 0)]);
	}
});

test('only a value or a row is refused: a full disk, a lock or an unknown outcome may be over at the next try', t => {
	const codes = ['BadRow', 'TooLarge', 'StorageFull', 'DatabaseBusy', 'OutcomeUnknown', 'BadDatabase', 'Closed'] as const;
	t.deepEqual(
		codes.filter(code => isRefusal(new FaenaError(code, ''))),
		['BadRow', 'TooLarge'],
	);
	t.false(isRefusal(new RangeError('refused')));
});

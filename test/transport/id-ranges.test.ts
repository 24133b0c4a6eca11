import test from 'ava';
import fc from 'fast-check';
import {listIds} from '../../lib/job/group.ts';
import {IdRanges} from '../../lib/transport/id-ranges.ts';

test('ids that several owners watch are taken from all of them, or from one', t => {
	const ranges = new IdRanges<string>();
	ranges.add(1, 10, 'a');
	ranges.add(5, 14, 'b');
	t.is(ranges.size, 20);
	t.true(ranges.covers(1, 14));
	t.false(ranges.covers(0, 3));
	t.false(ranges.covers(14, 15));
	ranges.take(1, 4, 'b');
	t.is(ranges.size, 20);
	t.deepEqual(ranges.take(4, 6, 'a'), [{first: 4, last: 6, owner: 'a'}]);
	t.deepEqual(
		ranges.take(6, 7).sort((a, b) => a.owner.localeCompare(b.owner)),
		[
			{first: 7, last: 7, owner: 'a'},
			{first: 6, last: 7, owner: 'b'},
		],
	);
	ranges.takeOnce(8, 10);
	t.is(ranges.size, 3 + 1 + 7);
	t.true(ranges.covers(8, 14));
});

test('it answers as a list of single ids does, whatever is added and taken', t => {
	const range = fc.tuple(fc.integer({min: 1, max: 40}), fc.nat(8)).map(([first, more]) => [first, first + more] as const);
	const step = fc.tuple(fc.constantFrom('add', 'take', 'takeOnce'), range);
	fc.assert(
		fc.property(fc.array(step, {maxLength: 30}), steps => {
			const ranges = new IdRanges<number>();
			let plain: number[] = [];
			for (const [index, [what, [first, last]]] of steps.entries()) {
				const ids = listIds(first, last - first + 1);
				if (what === 'add') {
					ranges.add(first, last, index);
					plain.push(...ids);
				} else if (what === 'takeOnce') {
					ranges.takeOnce(first, last);
					for (const id of ids) if (plain.includes(id)) plain.splice(plain.indexOf(id), 1);
				} else {
					const taken = ranges.take(first, last).reduce((sum, part) => sum + part.last - part.first + 1, 0);
					const left = plain.filter(id => !ids.includes(id));
					t.is(taken, plain.length - left.length);
					plain = left;
				}
				t.is(ranges.size, plain.length);
				for (let id = 0; id <= 50; id++) {
					const isWatched = plain.includes(id);
					t.is(ranges.has(id), isWatched);
					t.is(ranges.covers(id, id), isWatched);
				}
			}
		}),
	);
});

import test from 'ava';
import fc from 'fast-check';
import {listIds} from '../../lib/job/groups/group.ts';
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

/** The same without ranges. */
class PlainIds {
	ids: number[] = [];

	/** Returns how many were taken. */
	do(what: string, range: readonly number[]): number {
		const before = this.ids.length;
		if (what === 'add') this.ids.push(...range);
		else if (what === 'take') this.ids = this.ids.filter(id => !range.includes(id));
		else for (const id of range) if (this.ids.includes(id)) this.ids.splice(this.ids.indexOf(id), 1);
		return before - this.ids.length;
	}
}

test('it answers as a list of single ids does, whatever is added and taken', t => {
	const step = fc.record({what: fc.constantFrom('add', 'take', 'takeOnce'), first: fc.integer({min: 1, max: 40}), more: fc.nat(8)});
	fc.assert(
		fc.property(fc.array(step, {maxLength: 30}), steps => {
			const [ranges, plain] = [new IdRanges<number>(), new PlainIds()];
			for (const [index, {what, first, more}] of steps.entries()) {
				const taken = plain.do(what, listIds(first, more + 1));
				if (what === 'add') ranges.add(first, first + more, index);
				else if (what === 'takeOnce') ranges.takeOnce(first, first + more);
				else
					t.is(
						ranges.take(first, first + more).reduce((sum, part) => sum + part.last - part.first + 1, 0),
						taken,
					);
				t.is(ranges.size, plain.ids.length);
				for (let id = 0; id <= 50; id++) t.deepEqual([ranges.has(id), ranges.covers(id, id)], Array(2).fill(plain.ids.includes(id)));
			}
		}),
	);
});

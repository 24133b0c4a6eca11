import test from 'ava';
import {IdSet} from '../../lib/api/map-jobs.ts';
import fc from '../fixtures/property.ts';

test('an id set has exactly the ids that were added', t => {
	const id = fc.oneof(fc.integer({min: 1, max: 20_000}), fc.maxSafeInteger().map(Math.abs));
	fc.assert(
		fc.property(fc.array(id), fc.array(id), (added, asked) => {
			const set = new IdSet();
			for (const each of added) set.add(each);
			for (const each of [...added, ...asked, ...added.map(each => each + 1)]) t.is(set.has(each), added.includes(each));
		}),
	);
});

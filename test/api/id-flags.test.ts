import test from 'ava';
import {IdFlags} from '../../lib/api/maps/earlier-jobs.ts';
import fc from '../fixtures/property.ts';

test('the flags of ids are those that were set last, and 0 for all others', t => {
	const id = fc.oneof(fc.integer({min: 1, max: 20_000}), fc.maxSafeInteger().map(Math.abs));
	fc.assert(
		fc.property(fc.array(fc.tuple(id, fc.integer({min: 0, max: 2}))), fc.array(id), (set, asked) => {
			const flags = new IdFlags();
			for (const [each, flag] of set) flags.set(each, flag);
			const expected = new Map(set);
			for (const each of [...expected.keys(), ...asked, ...[...expected.keys()].map(each => each + 1)]) t.is(flags.get(each), expected.get(each) ?? 0);
		}),
	);
});

import test from 'ava';
import {type Counts, STATUSES, statusSummary} from '../../lib/job/job.ts';
import fc from '../fixtures/property.ts';

const NONE: Counts = {blocked: 0, pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0};

test('a summary is one line, without statuses that no job has', t => {
	t.is(statusSummary({...NONE, completed: 1204, running: 3, pending: 17, dead: 2}), '17 pending, 3 running, 1,204 completed, 2 dead');
	t.is(statusSummary({...NONE, failed: 1_000_000}), '1,000,000 failed');
	t.is(statusSummary(NONE), 'no jobs');
});

test('the counts can be read back from a summary, in the order of statuses', t => {
	const counts: fc.Arbitrary<Counts> = fc.record({
		blocked: fc.nat(1),
		pending: fc.nat(),
		running: fc.nat(2),
		failed: fc.nat(2),
		completed: fc.maxSafeNat(),
		dead: fc.nat(),
		cancelled: fc.nat(1),
	});
	fc.assert(
		fc.property(counts, counts => {
			const read = parse(statusSummary(counts));
			const order = read.map(([status]) => STATUSES.indexOf(status));
			t.deepEqual(Object.assign({...NONE}, Object.fromEntries(read)), counts);
			t.true(order.every((place, index) => index === 0 || place > (order[index - 1] ?? 0)));
		}),
	);
});

function parse(summary: string): [keyof Counts, number][] {
	if (summary === 'no jobs') return [];
	return summary.split(', ').map(part => {
		const [, number = '', status = ''] = /^(\d{1,3}(?:,\d{3})*) (\w+)$/.exec(part) ?? [];
		return [status as keyof Counts, Number(number.replaceAll(',', ''))];
	});
}

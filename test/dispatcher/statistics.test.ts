import test from 'ava';
import {Statistics} from '../../lib/dispatcher/statistics.ts';
import type {Settlement} from '../../lib/job/outcome.ts';

function completed(durationMs: number, waitMs?: number): Settlement {
	return {
		id: 1,
		lease: 1,
		execution: 1,
		outcome: {type: 'returned', value: null, startedAt: 0, durationMs, cpuMs: durationMs / 2, ...(waitMs !== undefined && {waitMs})},
	};
}

test('quantiles, waits and processor time are kept by task', t => {
	const statistics = new Statistics(2);
	statistics.ended('hash', [completed(1, 5), completed(2), completed(3), completed(100)]);
	statistics.ended('parse', [completed(7)]);
	const {hash, parse} = statistics.report().tasks;
	t.like(hash, {completed: 4, cpuMs: 53});
	t.true(Math.abs((hash?.duration.p50 ?? 0) - 2) < 0.1);
	t.true(Math.abs((hash?.duration.max ?? 0) - 100) < 1);
	t.true(Math.abs((hash?.wait.p95 ?? 0) - 5) < 0.1);
	t.is(parse?.wait.mean, 0);
});

test('a wait of ages, by what a damaged row says of when it began, is counted as the longest that can be', t => {
	const statistics = new Statistics(2);
	statistics.ended('hash', [completed(1, 5e13), completed(1, Number.MAX_VALUE)]);
	t.is(statistics.report().tasks['hash']?.completed, 2);
});

test('a timeout as a share of the median needs ten completed executions, and is at least 100 ms', t => {
	const statistics = new Statistics(2);
	t.is(statistics.timeoutMs('hash', 300), null);
	statistics.ended(
		'hash',
		Array.from({length: 9}, () => completed(1000)),
	);
	t.is(statistics.timeoutMs('hash', 300), null);
	statistics.ended('hash', [completed(1000)]);
	t.true(Math.abs((statistics.timeoutMs('hash', 300) ?? 0) - 3000) < 30);
	statistics.ended(
		'short',
		Array.from({length: 10}, () => completed(1)),
	);
	t.is(statistics.timeoutMs('short', 300), 100);
});

test('executions are counted by what the queue made of them', t => {
	const statistics = new Statistics(1);
	statistics.settled(['completed', 'completed', 'failed', 'dead', 'cancelled', 'pending', 'lost']);
	t.deepEqual(statistics.report().executions, {completed: 2, failed: 1, dead: 1, cancelled: 1, released: 1, lost: 1});
});

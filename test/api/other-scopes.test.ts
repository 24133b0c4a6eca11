import test from 'ava';
import {otherScopes} from '../../lib/api/other-scopes.ts';

test('a scope of which twice in a row jobs are ready, and none runs, is found once', t => {
	const find = otherScopes();
	const NONE = {blocked: 0, ready: 0, quarantined: 0, delayed: 0, held: 0, failed: 0, parked: 0, running: 0, completed: 0, dead: 0, cancelled: 0};
	const counts = (scope: string, own: Partial<typeof NONE & {isPaused: boolean}>) => ({task: 'echo', scope, isPaused: false, ...NONE, ...own});
	const served = counts('served', {ready: 1, running: 1});
	const left = [counts('left', {ready: 2, held: 1}), {...counts('left', {quarantined: 1}), task: 'other'}];
	const others = [served, ...left, counts('paused', {ready: 1, isPaused: true}), counts('later', {delayed: 1})];
	t.deepEqual(
		[1, 2, 3].map(() => find(others)),
		[[], [['left', 3]], []],
	);
	const busy = counts('served', {ready: 1});
	t.deepEqual([find([busy]), find([busy])], [[], [['served', 1]]]);
});

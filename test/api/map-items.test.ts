import {setFlagsFromString} from 'node:v8';
import {runInNewContext} from 'node:vm';
import test from 'ava';
import {HeldResults} from '../../lib/api/maps/held-results.ts';
import {ItemGroup} from '../../lib/api/maps/map-items.ts';
import {PackedTimes, packTimes} from '../../lib/job/groups/packed-times.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

test('a result that was yielded is not kept until the last job of its group has ended', async t => {
	const group = new ItemGroup({keyOf: undefined}, 0, ['a', 'b', 'c'], new HeldResults());
	group.ids = [1, 2, 3];
	const kept = (() => {
		const results = [new Uint8Array(8), new Uint8Array(8)];
		group.complete(0, {results, executions: 1, times: new PackedTimes(packTimes(2, {}))}, 0, 2);
		return results.map(result => new WeakRef(result));
	})();
	t.like(
		group.resultAt(0, result => (result as Uint8Array).length),
		{status: 'completed', result: 8, jobId: 1},
	);
	await new Promise(resolve => setImmediate(resolve));
	collectGarbage();
	t.deepEqual(
		kept.map(each => each.deref() !== undefined),
		[false, true],
	);
	t.is(group.open, 1);
});

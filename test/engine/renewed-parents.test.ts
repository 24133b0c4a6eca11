import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

test('an item of a map that runs again waits for the jobs of this map, and gets their results, whatever became of the former ones', async t => {
	const faena = await openEngine(t);
	const night = async (day: string, items: readonly string[], options: object) => {
		const parent = await faena.enqueue('echo', day);
		const ended = await faena.map('gather', items, {batch: 'site', order: 'input', dependsOn: [parent], ...options}).toArray();
		return {parent, ends: ended.map(end => (end.status === 'completed' ? end.result : end.error))};
	};
	const {parent} = await night('monday', ['a', 'b'], {});
	t.deepEqual((await night('tuesday', ['a', 'c'], {fresh: 'all'})).ends, [['tuesday'], ['tuesday']]);
	t.is(await faena.cleanup(parent.id), 1);
	t.deepEqual((await night('wednesday', ['a', 'other'], {fresh: 'payload', retryFailed: true})).ends, [['tuesday'], ['wednesday']]);
});

test('a pipe with retryFailed runs dropped items again after the results of their earlier stages were deleted', async t => {
	const faena = await openEngine(t, {defaults: {maxAttempts: 1}});
	const file = join(makeFolder(t), 'there');
	const pipe = (options: object = {}) => faena.pipe([file, file], 'echo', {task: 'readText' as never, onError: 'drop'}, {batch: 'p', ...options});
	t.deepEqual(await pipe().toArray(), []);
	const read = await faena.jobs({task: 'echo'}).page();
	t.is(await faena.cleanup({ids: read.map(({id}) => id)}), 2);
	writeFileSync(file, 'text');
	t.deepEqual(await pipe({retryFailed: true}).toArray(), ['text', 'text']);
});

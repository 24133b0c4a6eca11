import {rmSync} from 'node:fs';
import {join} from 'node:path';
import {FaenaError} from '../../../lib/support/errors.ts';
import {appears} from '../../fixtures/appears.ts';
import {makeFolder} from '../../fixtures/folder.ts';
import {law, touch} from './laws.ts';

law('a pool that has loaded its tasks returns their names and options', async (t, crew) => {
	const infos = await crew.load({workers: 2});
	t.deepEqual(
		infos.filter(({name}) => name === 'echo' || name === 'hold'),
		[
			{name: 'echo', options: {priority: 3, timeout: '1h', maxAttempts: 7}},
			{name: 'hold', options: {}},
		],
	);
	t.false(infos.some(({name}) => name === 'DISASTERS'));
});

const BAD_MODULES: Readonly<Record<string, readonly [module: string, sentence: RegExp]>> = {
	'is missing': ['missing', /missing\.ts does not exist/],
	'throws while loading': ['throws', /throws\.ts can't be loaded.*RangeError: no model here/],
	'throws what can not be cloned': ['throws-uncloneable', /throws-uncloneable\.ts can't be loaded.*no clone of me/],
	'exports no function': ['exports-nothing', /exports-nothing\.ts exports no function.*export function/],
	'ends its worker while loading': ['exits', /exits\.ts .*exit code 3/],
};

for (const [problem, [module, sentence]] of Object.entries(BAD_MODULES)) {
	law(`a tasks module that ${problem} is refused in a sentence that says so`, async (t, crew) => {
		const tasks = new URL(`../../fixtures/modules/${module}.ts`, import.meta.url).href;
		const error = await t.throwsAsync(crew.load({tasks, workers: 2}), {instanceOf: FaenaError, code: 'BadTasksModule'});
		t.regex(error?.message ?? '', sentence);
	});
}

law('a worker whose tasks module can not be loaded again is tried until it can', async (t, crew) => {
	const folder = makeFolder(t);
	process.env['MOODY_FOLDER'] = folder;
	await crew.load({workers: 1, tasks: new URL('../../fixtures/modules/moody.ts', import.meta.url).href});
	touch(join(folder, 'broken'));
	const [id] = await crew.give('exit', [null]);
	t.is((await crew.outcomes([id]))[0]?.type, 'lostWorker');
	await appears(join(folder, 'tried'));
	rmSync(join(folder, 'broken'));
	t.deepEqual(await crew.values(await crew.give('fine', [null])), ['fine']);
});

law('a setup that takes long is reported with its task, also one that blocks its worker', async (t, crew) => {
	const file = join(makeFolder(t), 'go');
	// Where the pool is not of the engine's isolation, the setup comes with the first job.
	const loading = crew.load({workers: 1, tasks: new URL('../../fixtures/modules/slow-setup.ts', import.meta.url).href, env: {SLOW_SETUP: file}});
	const given = loading.then(() => crew.give('load', [null]));
	const {kind, ...slow} = await crew.slowStart();
	t.deepEqual(slow, {task: 'load', durationMs: 10_000});
	t.regex(kind, /^(thread|process)$/);
	touch(file);
	t.deepEqual(await crew.values(await given), ['loaded']);
});

import {join} from 'node:path';
import {inspect} from 'node:util';
import {type Engine, open} from '../../lib/index.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

const SECRET = 'hunter2-hunter2';

/** Ways to bring a payload to where something is said about it. */
const WAYS: Readonly<Record<string, (faena: Engine) => Promise<unknown>>> = {
	'a payload that can not be encoded': faena => faena.enqueue('echo', {password: SECRET, f() {}}),
	'one that is too large': faena => faena.enqueue('echo', SECRET.repeat(10_000)),
	'a key with two payloads': async faena => {
		await faena.enqueue('echo', SECRET, {key: 'k'});
		await faena.enqueue('echo', `${SECRET} too`, {key: 'k'});
	},
	'a result that can not be encoded': faena => faena.call('returnFunction', SECRET),
	'a result that is too large': faena => faena.call('returnTooMuch', SECRET),
	'a job that throws': faena => faena.call('throwNull', SECRET),
	'a task that there is not': faena => faena.enqueue('ecko', SECRET),
};

for (const [what, run] of Object.entries(WAYS)) {
	test(`no message of Faena contains a payload: ${what}`, async t => {
		t.timeout(60_000);
		const said: unknown[] = [];
		const say = (...what: unknown[]) => void said.push(what);
		const faena = await open({
			queue: join(makeFolder(t), 'jobs.db'),
			tasks: new URL('../fixtures/bad-tasks.ts', import.meta.url),
			workers: 1,
			maxValue: 1000,
			defaults: {maxAttempts: 1},
			logger: {debug: say, info: say, warn: say, error: say},
		});
		for (const event of ['completed', 'failed', 'dead', 'workerLost'] as const) faena.on(event, say as never);
		const error = await t.throwsAsync(run(faena), {any: true} as never);
		await faena.close();
		said.push(error);
		t.notRegex(inspect(said, {depth: Infinity, showHidden: true}), new RegExp(SECRET));
		t.true(said.length > 1);
	});
}

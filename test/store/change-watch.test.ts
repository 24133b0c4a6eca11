import {appendFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import test, {type ExecutionContext} from 'ava';
import {ChangeWatch} from '../../lib/store/sqlite/change-watch.ts';
import {makeFolder} from '../fixtures/folder.ts';

/** A watch of a file that `write` writes to. Counts its looks. */
function setUp(t: ExecutionContext, write: (path: string) => boolean) {
	const log = join(makeFolder(t), 'log');
	writeFileSync(log, '');
	let polls = 0;
	const watch = new ChangeWatch({log, poll: () => void polls++, write: async () => write(log)});
	t.teardown(() => watch.close());
	// The watch itself keeps no process alive.
	const alive = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(alive));
	return {
		log,
		watch,
		looks: async (ms: number) => {
			const before = polls;
			await sleep(ms);
			return polls - before;
		},
	};
}

const append = (path: string) => {
	appendFileSync(path, 'x');
	return true;
};

test('an idle store waits for the reports of writes to its log, and looks at once after one', async t => {
	const {log, watch, looks} = setUp(t, append);
	t.true((await looks(1000)) > 10);
	// It becomes idle, and learns that its own write is reported.
	await sleep(2000);
	const idle = await looks(2000);
	t.true(idle <= 4, `${idle} looks in two seconds`);
	append(log);
	t.true((await looks(500)) >= 1);
	watch.used();
	t.true((await looks(800)) <= 3);
	for (let use = 0; use < 20; use++) watch.used();
	t.true((await looks(800)) > 10);
});

test('where its own write is not reported it looks often for ever', async t => {
	const {looks} = setUp(t, () => true);
	await sleep(2200);
	t.true((await looks(1000)) > 10);
});

test('where nothing could be written it looks often', async t => {
	const {looks} = setUp(t, () => false);
	await sleep(2200);
	t.true((await looks(1000)) > 10);
});

test('a log that does not exist cannot be watched', async t => {
	let polls = 0;
	const watch = new ChangeWatch({log: join(makeFolder(t), 'none'), poll: () => void polls++, write: async () => true});
	t.teardown(() => watch.close());
	const alive = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(alive));
	await sleep(1500);
	const before = polls;
	await sleep(1000);
	t.true(polls - before > 10);
});

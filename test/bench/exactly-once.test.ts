import {writeFileSync} from 'node:fs';
import test from 'ava';
import Database from 'better-sqlite3';
import {makeContents, refuseUnlessSame} from '../../bench/measure/contents.ts';
import {recordedSums, refuseUnlessEqual, sumBelow} from '../../bench/measure/sums.ts';
import {open} from '../../lib/index.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {loosenCompleted} from '../fixtures/stored.ts';

const TASKS = new URL('../../bench/measure/tasks.ts', import.meta.url);

test('the sums of a file see a job that is missing, one that ran again, and a wrong result', async t => {
	const queue = `${makeFolder(t)}/jobs.db`;
	const faena = await open<typeof import('../../bench/measure/tasks.ts')>({queue, tasks: TASKS, workers: 1});
	await faena.enqueueMany('identity', [0, 1, 2, 3, 4]);
	await faena.idle();
	await faena.close();
	const expected = {completed: 5, results: sumBelow(5)};
	t.notThrows(() => refuseUnlessEqual(recordedSums(queue), expected));
	const damages = [
		'delete from outcome where id = 3',
		'update outcome set execution = 2 where id = 3',
		"update outcome set value = '7' where id = 3",
		'insert into outcome_run (first, last, ended_at, times, results) values (3, 3, 0, zeroblob(32), 2)',
	];
	const database = new Database(queue);
	t.teardown(() => database.close());
	loosenCompleted(database);
	t.notThrows(() => refuseUnlessEqual(recordedSums(queue), expected));
	const undamaged = database.serialize();
	for (const damage of damages) {
		const damaged = `${queue}-damaged`;
		writeFileSync(damaged, undamaged);
		const other = new Database(damaged);
		other.exec(damage);
		other.close();
		t.throws(() => refuseUnlessEqual(recordedSums(damaged), expected), {message: /expected were 5 and 10/}, damage);
	}
});

for (const binary of [false, true]) {
	test(`${binary ? 'bytes' : 'texts'} that come back are compared one by one`, t => {
		const contents = makeContents(3, 200, binary, 1);
		t.is(new Set(contents.map(String)).size, 3);
		for (const content of contents) t.is(typeof content === 'string' ? Buffer.byteLength(content) : content.length, 200);
		t.notThrows(() => refuseUnlessSame(contents, structuredClone(contents)));
		const [first, second, third] = contents;
		t.throws(() => refuseUnlessSame(contents, [first, third, second]), {message: /number 1 is not what it was/});
		t.throws(() => refuseUnlessSame(contents, [first, second]), {message: /Of 3 values 2 came back/});
		t.throws(() => refuseUnlessSame(contents, [first, second, third, third]), {message: /Of 3 values 4 came back/});
	});
}

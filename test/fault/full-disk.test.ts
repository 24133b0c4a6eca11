import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';
import {onSmallDisk, whyNoSmallDisk} from '../fixtures/small-disk.ts';

/** How often the disk is filled and freed: `npm run full-disk` does it 100 times. */
const TIMES = Number(process.env['FAENA_TIMES'] ?? 3);

const reason = whyNoSmallDisk();
const testOnSmallDisk = reason ? test.skip : test;

testOnSmallDisk(`a cleanup goes through while the disk is nearly full, and makes room${reason ? ` (${reason})` : ''}`, async t => {
	t.timeout(60_000);
	const folder = makeFolder(t);
	const program = new Program(t, {name: 'cleanup-on-full-disk', under: onSmallDisk(folder, '24m')}, folder);
	const {completed, freeBytes, deleted, left, refused} = JSON.parse(await program.line());
	t.log(`${freeBytes} bytes were free`);
	t.true(freeBytes < 600_000);
	t.regex(refused, /^StorageFull/);
	t.is(deleted, completed);
	t.is(left, 0);
	t.like(await program.ended(), {code: 0, stderr: ''});
});

testOnSmallDisk(`a full disk refuses what is new and holds up the rest; freed, all goes on without a restart${reason ? ` (${reason})` : ''}`, async t => {
	t.timeout(60_000 + TIMES * 10_000);
	const folder = makeFolder(t);
	const program = new Program(t, {name: 'full-disk', under: onSmallDisk(folder, '2m')}, folder, String(TIMES));
	for (let time = 0; time < TIMES; time++) {
		const {refused, later} = JSON.parse(await program.line());
		t.regex(refused, /^StorageFull: The disk is full, so .*jobs\.db can't grow\. Nothing of this call was stored\. Free some space and try again\.$/);
		t.true(later, 'the program goes on');
	}
	t.deepEqual(JSON.parse(await program.line()), {blocked: 0, pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0});
	t.like(await program.ended(), {code: 0, stderr: ''});
});

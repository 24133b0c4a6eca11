import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';
import {onSmallDisk, whyNoSmallDisk} from '../fixtures/small-disk.ts';
import {type Call, Run, whyNoFaultyDisk} from './disk/disk.ts';
import {brokenPromises} from './disk/promise.ts';

const noDisk = whyNoSmallDisk();
const testOnOwnDisk = noDisk ? test.skip : test;

testOnOwnDisk(
	`a queue on a disk that is mounted read-only is refused in a sentence, and as before once it can be written${noDisk ? ` (${noDisk})` : ''}`,
	async t => {
		t.timeout(60_000);
		const folder = makeFolder(t);
		const program = new Program(t, {name: 'read-only-disk', under: onSmallDisk(folder, '4m')}, folder);
		const lines = await program.lines();
		t.like(await program.ended(), {code: 0, stderr: ''});
		const refusal =
			/^BadDatabase: .*jobs\.db can't be opened\. Check that .* the file, its folder and their disk can be read and written \(SQLITE_CANTOPEN\)\.$/;
		t.regex(lines[0] as string, refusal);
		t.regex(lines[1] as string, refusal);
		t.is(lines[2], '2');
	},
);

const noFaults = whyNoFaultyDisk();
const testOnFaultyDisk = noFaults ? test.skip : test;

// The kernel refuses to mount read-only what a program writes to; it does so itself, when a disk fails.
testOnFaultyDisk(`a disk that turns read-only under an engine stops it in a sentence, and nothing is lost${noFaults ? ` (${noFaults})` : ''}`, async t => {
	t.timeout(120_000);
	const folder = makeFolder(t);
	const whole = new Run(`${folder}/whole`);
	await whole.take({record: true});
	const run = new Run(`${folder}/run`);
	const {stderr, hangs} = await run.take({fault: {call: callAfter('completed echo-1', whole.calls), kind: 'EROFS', rest: true}});
	t.is(stderr, '');
	t.false(hangs);
	const {told} = run;
	const stopped = told.findIndex(line => line.startsWith('BadDatabase'));
	t.regex(told[stopped] as string, /jobs\.db can't be written\. Check .* that their disk is not mounted read-only, then open it again \(SQLITE_READONLY/);
	t.deepEqual(
		told.slice(stopped).filter(line => /^(enqueued|completed)/.test(line)),
		[],
	);
	t.is(told.at(-1), 'closed');
	t.deepEqual(await brokenPromises(run.queue, told), []);
});

/** The number of the first call that changes the disk after the program was told so. */
function callAfter(line: string, calls: readonly Call[]): number {
	const told = calls.findIndex(({op, data}) => op === 'told' && data.toString().startsWith(line));
	return calls.slice(0, told).filter(({op}) => op !== 'told').length + 1;
}

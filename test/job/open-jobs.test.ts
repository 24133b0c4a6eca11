import {execFileSync} from 'node:child_process';
import {chmodSync, chownSync, closeSync, linkSync, mkdirSync, openSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {OpenJobsCell, readOpenJobs} from '../../lib/job/open-jobs.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {writeOpenJobs} from '../fixtures/open-jobs.ts';

function makeFile(t: ExecutionContext): string {
	const path = join(makeFolder(t), 'jobs.db-owner-me-open');
	writeFileSync(path, '', {mode: 0o600});
	return path;
}

test('a cell names the jobs of the open chunk whose outcomes are not final', t => {
	const path = makeFile(t);
	const cell = new OpenJobsCell(path, 0);
	t.teardown(() => cell.close());
	const shown = (ids: number | number[], jobs: number, final: number) => {
		cell.write({lease: 5, ids, jobs}, final);
		return readOpenJobs(path).map(({first, last}) => [first, last]);
	};
	t.deepEqual(shown(1, 2000, 0), [[1, 2000]]);
	t.deepEqual(shown(1, 2000, 1999), [[2000, 2000]]);
	t.deepEqual(shown(1, 2000, 2000), []);
	// Ids are not in order if jobs have priorities.
	const ids = [9, 10, 3, 4, 5, 7];
	t.deepEqual(shown(ids, 6, 0), [
		[3, 5],
		[7, 7],
		[9, 10],
	]);
	t.deepEqual(shown(ids, 6, 3), [
		[4, 5],
		[7, 7],
	]);
	t.deepEqual(shown(ids, 6, 6), []);
});

test('each worker has a cell of its own, and a job in several cells is read once', t => {
	const path = makeFile(t);
	const cells = [0, 1, 7].map(cell => new OpenJobsCell(path, cell));
	t.teardown(() => {
		for (const cell of cells) cell.close();
	});
	const [one, two, three] = cells as [OpenJobsCell, OpenJobsCell, OpenJobsCell];
	one.write({lease: 5, ids: 10, jobs: 10}, 0);
	two.write({lease: 5, ids: [15, 16, 17, 18, 19, 20, 21, 40], jobs: 8}, 0);
	three.write({lease: 6, ids: 12, jobs: 1}, 0);
	t.deepEqual(readOpenJobs(path), [
		{lease: 5, first: 10, last: 21},
		{lease: 5, first: 40, last: 40},
		{lease: 6, first: 12, last: 12},
	]);
});

test('a chunk with too many ranges of ids for a cell is named whole, with some other jobs', t => {
	const path = makeFile(t);
	const ids = Array.from({length: 1000}, (_, index) => 10_000 + (index % 2 === 0 ? 3 * index : -3 * index));
	writeOpenJobs(path, 5, ids);
	const open = readOpenJobs(path);
	t.true(ids.every(id => open.some(({first, last}) => first <= id && id <= last)));
	t.is(Math.min(...open.map(({first}) => first)), Math.min(...ids));
	t.is(Math.max(...open.map(({last}) => last)), Math.max(...ids));
	t.true(open.every(({lease}) => lease === 5));
});

test('a cell with one damaged byte, wherever it is, names no job', t => {
	const path = makeFile(t);
	writeOpenJobs(path, 5, [1, 2, 3, 9]);
	const whole = readFileSync(path);
	t.is(readOpenJobs(path).length, 2);
	for (let index = 0; index < whole.length; index++) {
		const damaged = Buffer.from(whole);
		damaged[index] = (damaged[index] as number) ^ 0x5a;
		writeFileSync(path, damaged);
		t.deepEqual(readOpenJobs(path), [], `byte ${index}`);
	}
});

const GARBAGE: Readonly<Record<string, (path: string) => void>> = {
	'is missing': path => rmSync(path),
	'is empty': path => writeFileSync(path, ''),
	'is cut off': path => truncateSync(path, 20),
	'is all zeros': path => writeFileSync(path, Buffer.alloc(20_000)),
	'is all ones': path => writeFileSync(path, Buffer.alloc(20_000, 0xff)),
	'is text': path => writeFileSync(path, 'select 1;\n'.repeat(2000)),
	'is enormous': path => truncateSync(path, 2 ** 40),
	'names numbers that are no ids': path => writeOpenJobs(path, 5, [-3, 0, 1.5, Number.NaN, Infinity, 2 ** 60]),
	'names a lease that is none': path => writeOpenJobs(path, 0.5, [1, 2]),
};

for (const [what, spoil] of Object.entries(GARBAGE)) {
	test(`a file of open jobs that ${what} names none`, t => {
		const path = makeFile(t);
		writeOpenJobs(path, 5, [1, 2]);
		spoil(path);
		t.deepEqual(readOpenJobs(path), []);
	});
}

/** Replaces the file by one with the same content, as a user with write permission for the folder could. */
const PLANTED: Readonly<Record<string, (path: string, other: string) => void>> = {
	'is a symbolic link': (path, other) => symlinkSync(other, path),
	'is another name of some file': (path, other) => linkSync(other, path),
	'is a pipe': path => void execFileSync('mkfifo', ['-m', '600', path]),
	'is a folder': path => mkdirSync(path, 0o700),
	'others can write to': path => {
		writeFileSync(path, '');
		chmodSync(path, 0o666);
	},
	'belongs to another user': path => {
		writeFileSync(path, '', {mode: 0o600});
		chownSync(path, 65_534, 65_534);
	},
};

for (const [what, plant] of Object.entries(PLANTED)) {
	test(`a file of open jobs that ${what} is neither read nor written to`, t => {
		if (what.includes('another user') && process.getuid?.() !== 0) return t.pass();
		const path = makeFile(t);
		const other = join(makeFolder(t), 'other');
		writeOpenJobs(path, 5, [1, 2]);
		const bytes = readFileSync(path);
		writeFileSync(other, bytes, {mode: 0o600});
		rmSync(path);
		plant(path, other);
		const planted = () => (what.includes('pipe') || what.includes('folder') ? bytes : readFileSync(path));
		const before = planted();
		t.deepEqual(readOpenJobs(path), []);
		writeOpenJobs(path, 6, [3]);
		t.deepEqual(planted(), before);
		t.deepEqual(readFileSync(other), bytes);
	});
}

test('a cell goes on in the new file of an owner that registers again by the same name', t => {
	const path = makeFile(t);
	const cell = new OpenJobsCell(path, 0);
	t.teardown(() => cell.close());
	cell.write({lease: 5, ids: 1, jobs: 2}, 0);
	rmSync(path);
	cell.write({lease: 5, ids: 3, jobs: 2}, 0);
	t.deepEqual(readOpenJobs(path), []);
	writeFileSync(path, '', {mode: 0o600});
	cell.write({lease: 6, ids: 5, jobs: 2}, 0);
	t.deepEqual(readOpenJobs(path), [{lease: 6, first: 5, last: 6}]);
});

test('if a task closes the descriptor of a cell, the cell is not written into a file of the task', t => {
	const path = makeFile(t);
	const cell = new OpenJobsCell(path, 0);
	t.teardown(() => cell.close());
	const [before] = [openSync('/dev/null', 'r')];
	closeSync(before);
	cell.write({lease: 5, ids: 1, jobs: 2}, 0);
	closeSync(before);
	const own = join(makeFolder(t), 'own');
	const file = openSync(own, 'w+', 0o600);
	t.is(file, before);
	cell.write({lease: 5, ids: 1, jobs: 2}, 1);
	t.is(readFileSync(own).length, 0);
	t.deepEqual(readOpenJobs(path), [{lease: 5, first: 2, last: 2}]);
	closeSync(file);
});

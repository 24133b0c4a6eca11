import {copyFileSync, mkdirSync, readdirSync, truncateSync} from 'node:fs';
import {join} from 'node:path';
import {setImmediate as nextTurn} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import anyTest, {type ExecutionContext} from 'ava';
import sharp from 'sharp';
import {openQueue} from '../../lib/queue.ts';
import {Folder} from '../cli/command.ts';

/** One at a time: each keeps all processors busy. */
const test = anyTest.serial;

const MAIN = fileURLToPath(new URL('../../examples/thumbnails/main.ts', import.meta.url));
const IMAGES = 24;
const SUMMARY = /^24 images, [\d.]+ MB in, [\d.]+ MB out\n24 in [\d.]+ s: [\d.]+ images\/s, efficiency \d+ % \(tasks [\d.]+ s ÷ \d+ workers × [\d.]+ s\)\n$/;

/** A folder `photos` of pictures that take some 50 ms each, one of them in a folder of its own. */
async function photos(t: ExecutionContext): Promise<Folder> {
	const folder = new Folder(t);
	mkdirSync(join(folder.path, 'photos/more'), {recursive: true});
	const first = join(folder.path, 'photos/1.png');
	const noise = {type: 'gaussian', mean: 128, sigma: 60} as const;
	await sharp({create: {width: 1200, height: 800, channels: 3, background: 'grey', noise}}).toFile(first);
	for (let image = 2; image < IMAGES; image++) copyFileSync(first, join(folder.path, `photos/${image}.png`));
	copyFileSync(first, join(folder.path, 'photos/more/1.png'));
	return folder;
}

/** Every thumbnail is there, and can be read to its end. */
async function assertWhole(t: ExecutionContext, {path}: Folder, width = 320): Promise<void> {
	const out = join(path, 'thumbnails');
	const names = (readdirSync(out, {recursive: true}) as string[]).filter(name => name.endsWith('.webp'));
	t.is(names.length, IMAGES);
	t.true(names.includes(join('more', '1.png.webp')));
	for (const name of names) {
		const {info} = await sharp(join(out, name)).raw().toBuffer({resolveWithObject: true});
		t.is(info.width, width);
	}
}

for (const isolation of ['thread', 'process']) {
	test(`the thumbnails example makes a thumbnail of each file, names those it can't read, and does nothing twice: ${isolation}`, async t => {
		t.timeout(120_000);
		const folder = await photos(t);
		folder.write('photos/notes.txt');
		copyFileSync(join(folder.path, 'photos/1.png'), join(folder.path, 'photos/half.png'));
		truncateSync(join(folder.path, 'photos/half.png'), 1_000_000);
		const run = (...args: string[]) => folder.run(MAIN, 'photos', '--isolation', isolation, ...args).end();
		const {code, stdout, stderr} = await run();
		t.is(code, 1);
		t.regex(stdout, SUMMARY);
		// How sharp says that a file ends too early depends on where in the picture. libvips collects the errors of all threads in one text, so if two
		// files fail at once, the message of one may also have lines of the other.
		t.deepEqual(
			stderr
				.match(/^\S+(?=: )/gm)
				?.filter(name => /\.(png|txt)$/.test(name))
				.toSorted(),
			['half.png', 'notes.txt'],
		);
		t.regex(stderr, /^notes\.txt: .*unsupported image format$/m);
		await assertWhole(t, folder);
		t.regex((await run()).stdout, /^24 images, .* out; 24 of them made before\n$/);
		copyFileSync(join(folder.path, 'photos/1.png'), join(folder.path, 'photos/half.png'));
		t.regex((await run()).stdout, /^25 images, .* out; 24 of them made before\n1 in /);
		t.regex((await run('--width', '50')).stdout, /^25 images, .* out\n25 in /);
	});
}

test('killed and started again, the thumbnails example goes on where it was, and leaves no half file', async t => {
	t.timeout(120_000);
	const folder = await photos(t);
	mkdirSync(join(folder.path, 'thumbnails'));
	const queue = await openQueue(join(folder.path, 'thumbnails/.jobs.db'));
	t.teardown(() => queue.close());
	const program = folder.run(MAIN, 'photos');
	while ((await queue.counts()).completed < 3) await nextTurn();
	t.is((await program.kill()).code, 137);
	const {code, stdout, stderr} = await folder.run(MAIN, 'photos').end();
	t.is(code, 0, stderr);
	const [, before, now] = /^24 images, .*; (\d+) of them made before\n(\d+) in /.exec(stdout) ?? [];
	t.true(Number(before) >= 3 && Number(now) > 0, stdout);
	t.is(Number(before) + Number(now), IMAGES);
	await assertWhole(t, folder);
	t.false((readdirSync(join(folder.path, 'thumbnails'), {recursive: true}) as string[]).some(name => name.endsWith('.part')));
});

test('a signal stops the thumbnails example in good order, and it says how to go on', async t => {
	const folder = await photos(t);
	mkdirSync(join(folder.path, 'thumbnails'));
	const queue = await openQueue(join(folder.path, 'thumbnails/.jobs.db'));
	t.teardown(() => queue.close());
	const program = folder.run(MAIN, 'photos');
	while ((await queue.counts()).completed < 1) await nextTurn();
	program.child.kill('SIGTERM');
	const {code, stdout, stderr} = await program.end();
	t.is(code, 143);
	t.is(stdout, '');
	t.is(stderr, 'Stopped; the same command goes on from here.\n');
	t.is((await queue.counts()).running, 0);
});

test('without a folder the thumbnails example makes photographs first', async t => {
	const {code, stdout, stderr} = await new Folder(t).run(MAIN, '--photographs', '1').end();
	t.is(code, 0, stderr);
	t.regex(stderr, /^(Making 1 photographs in .*photographs\.\n)?$/);
	t.regex(stdout, /^\d+ images, /);
});

test('the thumbnails example refuses a bad argument in a sentence', async t => {
	const folder = new Folder(t);
	mkdirSync(join(folder.path, 'empty'));
	const refused = async (...args: string[]) => {
		const {code, stdout, stderr} = await folder.run(MAIN, ...args).end();
		t.is(code, 2);
		t.is(stdout, '');
		return stderr;
	};
	t.regex(await refused('empty'), /^There are no files in .*empty\.\n$/);
	t.regex(await refused('missing'), /^.*missing is not a folder\.\n$/);
	t.regex(await refused('trace'), /^.*trace is not a folder\.\n$/);
	t.regex(await refused('empty', '--out', 'empty'), /^The thumbnails go into another folder than the photographs; name it with --out\.\n$/);
	t.is(await refused('empty', '--width', '0'), '--width is a whole number from 1 to 10000; it got 0\n');
	t.regex(await refused('empty', '--wdth', '3'), /^Unknown option '--wdth'/);
	folder.write('empty/file');
	t.is(await refused('empty', '--isolation', 'fiber'), 'open() expects as isolation "thread" or "process" or "inline"; it got "fiber".\n');
});

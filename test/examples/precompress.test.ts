import {on} from 'node:events';
import {mkdirSync, readdirSync, readFileSync, rmSync, watch} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {brotliDecompressSync, gunzipSync} from 'node:zlib';
import test, {type ExecutionContext} from 'ava';
import {Folder} from '../cli/command.ts';

const MAIN = fileURLToPath(new URL('../../examples/precompress/main.ts', import.meta.url));
const FILES = 30;

/** A small site; each of its files takes some 50 ms. */
function site(t: ExecutionContext): Folder {
	const folder = new Folder(t);
	mkdirSync(join(folder.path, 'site/pages'), {recursive: true});
	mkdirSync(join(folder.path, 'out/pages'), {recursive: true});
	for (let file = 1; file < FILES; file++) folder.write(`site/pages/${file}.html`, text(file));
	folder.write('site/main.js', 'export {};\n');
	folder.write('site/photo.jpg', 'not a text');
	return folder;
}

/** Text that differs from file to file, and in which there is something to find. */
function text(seed: number): string {
	let state = seed;
	return Array.from({length: 12_000}, () => {
		state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
		return (state >>> 20).toString(36);
	}).join(' ');
}

/** Resolves once so many pages have been compressed. */
async function firstWritten({path}: Folder, pages: number): Promise<void> {
	const watcher = watch(join(path, 'out/pages'));
	const seen = new Set<string>();
	for await (const [, name] of on(watcher, 'change')) {
		if (name.endsWith('.gz')) seen.add(name);
		if (seen.size === pages) break;
	}
	watcher.close();
}

function assertCompressed(t: ExecutionContext, {path}: Folder): void {
	const written = readdirSync(join(path, 'out'), {recursive: true}) as string[];
	t.is(written.filter(name => name.endsWith('.br')).length, FILES);
	t.is(written.filter(name => name.endsWith('.gz')).length, FILES);
	t.false(written.some(name => name.endsWith('.tmp')));
	for (const name of ['main.js', 'pages/7.html']) {
		const original = readFileSync(join(path, 'site', name));
		t.deepEqual(brotliDecompressSync(readFileSync(join(path, 'out', `${name}.br`))), original);
		t.deepEqual(gunzipSync(readFileSync(join(path, 'out', `${name}.gz`))), original);
	}
}

test('the demo compresses a site, prints how much it saved and how fast, and knows when no work is left', async t => {
	const folder = site(t);
	const {code, stdout, stderr} = await folder.run(MAIN, 'site', '--out', 'out').end();
	t.is(code, 0, stderr);
	assertCompressed(t, folder);
	t.regex(stdout, /^files +30, [\d.]+ MB\nBrotli .* saved, \d+%\ngzip .* saved, \d+%\nthis run +30 jobs in [\d.]+ s, \d+ jobs\/s\nefficiency +\d+% \(/m);
	t.regex(stdout, /^written +30 \.br and 30 \.gz in out\nTo start anew: rm -r out\n$/m);
	const again = await folder.run(MAIN, 'site', '--out', 'out').end();
	t.is(again.code, 0);
	t.is(again.stdout, 'All 30 files were compressed before.\nTo start anew: rm -r out\n');
	folder.write('site/main.js', 'export const edited = true;\n');
	rmSync(join(folder.path, 'out/pages/7.html.br'));
	const edited = await folder.run(MAIN, 'site', '--out', 'out').end();
	t.regex(edited.stderr, /faena: 30 completed, in .*: 28 unchanged, 2 changed\.\n$/);
	t.regex(edited.stdout, /^this run +2 jobs/m);
	assertCompressed(t, folder);
});

test('killed and started again, the demo goes on where it was', async t => {
	const folder = site(t);
	const written = firstWritten(folder, 6);
	const killed = folder.run(MAIN, 'site', '--out', 'out');
	await written;
	t.is((await killed.kill()).code, 137);
	const {code, stdout, stderr} = await folder.run(MAIN, 'site', '--out', 'out').end();
	t.is(code, 0, stderr);
	assertCompressed(t, folder);
	const [, before, now] = /30, .*; (\d+) of them done before\n.*\n.*\nthis run +(\d+) jobs/.exec(stdout) ?? [];
	t.true(Number(before) > 0 && Number(now) > 0, stdout);
	t.is(Number(before) + Number(now), FILES);
});

test('a signal stops the demo in good order', async t => {
	const folder = site(t);
	const written = firstWritten(folder, 1);
	const program = folder.run(MAIN, 'site', '--out', 'out');
	await written;
	program.child.kill('SIGTERM');
	const {code, stdout, stderr} = await program.end();
	t.is(code, 143);
	t.is(stdout, '');
	t.regex(stderr, /faena: Stopped: \d+ of 30 done; the same command goes on from there\.\n$/);
});

test('the demo refuses a bad argument in a sentence', async t => {
	for (const [args, sentence] of [
		[['--halp'], /^Unknown option '--halp'/],
		[['nowhere'], /nowhere is not a folder; name that of the site\.\n$/],
	] as const) {
		const {code, stdout, stderr} = await new Folder(t).run(MAIN, ...args).end();
		t.deepEqual([code, stdout], [2, '']);
		t.regex(stderr, sentence);
	}
});

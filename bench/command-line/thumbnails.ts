/**
 * Makes thumbnails of large photographs: by `sharp` as a task, by the program `vipsthumbnail` through `--sh`, and by GNU parallel that calls a Node
 * program with `sharp`. `node bench/command-line/thumbnails.ts [PHOTOGRAPHS]`, by default 200; makes them first, as examples/thumbnails does.
 */
import {mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {moduleUrl} from '../measure/module-url.ts';
import {FAENA, isInstalled, run} from './program.ts';

const photographs = process.argv[2] ?? '200';
const folder = mkdtempSync(join(tmpdir(), 'faena-bench-'));
const tasks = fileURLToPath(moduleUrl('command-line/tasks'));
const example = ['--conditions=faena-source', 'examples/thumbnails/main.ts', '--photographs', photographs, '--out', join(folder, 'example')];
await run([process.execPath, ...example]);
symlinkSync(resolve('examples/thumbnails/photographs'), join(folder, 'in'));

const ways: Readonly<Record<string, readonly string[]>> = {
	'sharp as a task': [...FAENA, 'map', '--quiet', `${tasks}#thumbnail`, 'in/*.jpg'],
	...(isInstalled('vipsthumbnail') && {
		'vipsthumbnail by --sh': [
			...FAENA,
			'map',
			'--quiet',
			'--queue',
			'sh.db',
			'--sh',
			`vipsthumbnail {} --size 320x -o ${join(folder, 'small')}/{/}`,
			'in/*.jpg',
		],
	}),
	...(isInstalled('parallel') && {
		'Node by parallel': ['sh', '-c', `find -L in -name '*.jpg' -print0 | parallel -0 -j2 ${process.execPath} ${tasks} thumbnail {}`],
	}),
};
for (const [way, words] of Object.entries(ways)) {
	const small = join(folder, 'small');
	rmSync(small, {recursive: true, force: true});
	mkdirSync(small);
	const {seconds, cpuSeconds} = await run(words, {cwd: folder});
	console.log(`${way.padEnd(22)} ${readdirSync(small).length} thumbnails in ${seconds.toFixed(1)} s, ${cpuSeconds.toFixed(1)} s of CPU`);
}
rmSync(folder, {recursive: true});

/**
 * Compiles the sources of a TypeScript project, this one, by `faena map`; then the same command again, after nothing has changed, after a file was
 * edited, and after an output was deleted. `node bench/command-line/project.ts` prints how long each took, and what faena says.
 */
import {appendFileSync, cpSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {moduleUrl} from '../measure/module-url.ts';
import {FAENA, run, summaryOf} from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'faena-bench-'));
const root = process.cwd();
for (const part of ['lib', 'test', 'bench']) cpSync(join(root, part), join(folder, part), {recursive: true, filter: path => !path.includes('node_modules')});

const tasks = fileURLToPath(moduleUrl('command-line/tasks'));
const build = async (when: string) => {
	const ran = await run([...FAENA, 'map', `${tasks}#compile`, '**/*.ts', '--quiet'], {cwd: folder});
	console.log(`${when.padEnd(20)} ${ran.seconds.toFixed(2).padStart(6)} s  ${summaryOf(ran)}`);
};
await build('at first');
await build('nothing changed');
appendFileSync(join(folder, 'lib', 'index.ts'), '\n// edited\n');
await build('one file edited');
rmSync(join(folder, 'out', 'lib', 'queue.js'));
await build('one output deleted');
rmSync(folder, {recursive: true});

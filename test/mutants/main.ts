/**
 * `npm run mutants -- [--only TEXT]`: plants each defect of {@link MUTANTS} in a copy of the sources, and runs the test that is
 * to find it, alone. A defect that no test finds is a law that is missing; one whose text is not there any more is an error.
 */
import {spawnSync} from 'node:child_process';
import {cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {MUTANTS, type Mutant} from './mutants.ts';

const {values} = parseArgs({options: {only: {type: 'string', default: ''}}});
const root = fileURLToPath(new URL('../..', import.meta.url));
const copy = mkdtempSync(join(tmpdir(), 'faena-mutants-'));
for (const name of ['lib', 'workers', 'test', 'package.json', 'tsconfig.json']) cpSync(join(root, name), join(copy, name), {recursive: true});
symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));

const survivors: string[] = [];
const chosen = Object.entries(MUTANTS).filter(([what]) => what.includes(values.only));
for (const [what, mutant] of chosen) {
	const verdict = judge(mutant);
	console.log(`${verdict.padEnd(8)} ${what}\n         ${mutant.killer.join(' › ')}`);
	if (verdict !== 'killed') survivors.push(what);
}
rmSync(copy, {recursive: true, force: true});
console.log(`${chosen.length - survivors.length} of ${chosen.length} mutants were killed.`);
if (survivors.length > 0) {
	console.error(`Not killed:\n${survivors.join('\n')}`);
	process.exitCode = 1;
}

function judge({file, find, put, killer}: Mutant): 'killed' | 'survived' | 'textless' | 'testless' {
	const path = join(copy, file);
	const source = readFileSync(path, 'utf8');
	if (source.split(find).length !== 2) return 'textless';
	writeFileSync(
		path,
		source.replace(find, () => put),
	);
	const hasFound = !passes(killer);
	writeFileSync(path, source);
	if (!hasFound) return 'survived';
	// Only a test that passes without the defect has found it.
	return passes(killer) ? 'killed' : 'testless';
}

function passes([file, title]: Mutant['killer']): boolean {
	const ava = join(root, 'node_modules', '.bin', 'ava');
	const {stdout} = spawnSync(ava, ['--tap', '--timeout=60s', '--no-worker-threads', file, '--match', title], {
		cwd: copy,
		encoding: 'utf8',
		killSignal: 'SIGKILL',
		timeout: 180_000,
	});
	return /^ok 1 /m.test(stdout) && !/^not ok/m.test(stdout);
}

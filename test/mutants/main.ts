/**
 * `npm run mutants -- [--only TEXT]`: plants each defect of {@link MUTANTS} in a copy of the sources, and runs the test that is
 * to find it, alone. A defect that no test finds is a law that is missing; one whose text is not there any more is an error.
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {text} from 'node:stream/consumers';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {MUTANTS, type Mutant} from './mutants.ts';

const {values} = parseArgs({options: {only: {type: 'string', default: ''}}});
const root = fileURLToPath(new URL('../..', import.meta.url));
const copy = mkdtempSync(join(tmpdir(), 'faena-mutants-'));
const isOurs = (path: string) => !path.endsWith('node_modules');
for (const name of ['lib', 'workers', 'bench', 'test', 'ava.config.js', 'package.json', 'tsconfig.json'])
	cpSync(join(root, name), join(copy, name), {recursive: true, filter: isOurs});
symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));

/** The most that a run may take, the wait of others for the processors included. */
const RUN_MS = 300_000;

const survivors: string[] = [];
const chosen = Object.entries(MUTANTS).filter(([what]) => what.includes(values.only));
for (const [what, mutant] of chosen) {
	const verdict = await judge(mutant);
	console.log(`${verdict.padEnd(8)} ${what}\n         ${mutant.killer.join(' › ')}`);
	if (verdict !== 'killed') survivors.push(what);
}
rmSync(copy, {recursive: true, force: true});
console.log(`${chosen.length - survivors.length} of ${chosen.length} mutants were killed.`);
if (survivors.length > 0) {
	console.error(`Not killed:\n${survivors.join('\n')}`);
	process.exitCode = 1;
}

async function judge({file, find, put, killer}: Mutant): Promise<'killed' | 'survived' | 'textless' | 'testless'> {
	const path = join(copy, file);
	const source = readFileSync(path, 'utf8');
	if (source.split(find).length !== 2) return 'textless';
	writeFileSync(
		path,
		source.replace(find, () => put),
	);
	const hasFound = !(await passes(killer));
	writeFileSync(path, source);
	if (!hasFound) return 'survived';
	// Only a test that passes without the defect has found it.
	return (await passes(killer)) ? 'killed' : 'testless';
}

async function passes([file, title]: Mutant['killer']): Promise<boolean> {
	const ava = join(root, 'node_modules', '.bin', 'ava');
	// A process group of its own: a defect may leave behind processes that compute for ever.
	const run = spawn(ava, ['--tap', '--timeout=60s', '--no-worker-threads', file, '--match', title], {
		cwd: copy,
		detached: true,
		stdio: ['ignore', 'pipe', 'ignore'],
	});
	const endAll = () => run.pid !== undefined && process.kill(-run.pid, 'SIGKILL');
	const timer = setTimeout(endAll, RUN_MS);
	const output = text(run.stdout);
	await once(run, 'exit');
	clearTimeout(timer);
	try {
		endAll();
	} catch {
		// Usually nobody is left.
	}
	const said = await output;
	return /^ok 1 /m.test(said) && !/^not ok/m.test(said);
}

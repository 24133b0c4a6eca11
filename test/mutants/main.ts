/**
 * `npm run mutants -- [--only TEXT]`: plants each defect of {@link MUTANTS}, and runs the test that must find it, alone. A defect that
 * its test does not find is a law that is missing; a defect whose text is not in the sources any more is an error.
 */
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {inParallel} from './in-parallel.ts';
import {MUTANTS, type Mutant} from './mutants.ts';
import {toJavaScript} from './operators.ts';
import {serving} from './serving.ts';
import {ROOT, runSuite} from './suites.ts';

const {values} = parseArgs({options: {only: {type: 'string', default: ''}}});
/** The most that a run may take on a busy machine. */
const LIMITS = {idleMs: 60_000, limitMs: 300_000};

const survivors: string[] = [];
const chosen = Object.entries(MUTANTS).filter(([what]) => what.includes(values.only));
await inParallel(2, chosen, async ([what, mutant]) => {
	const verdict = await judge(mutant);
	console.log(`${verdict.padEnd(8)} ${what}\n         ${mutant.killer.join(' › ')}`);
	if (verdict !== 'killed') survivors.push(what);
});
console.log(`${chosen.length - survivors.length} of ${chosen.length} mutants were killed.`);
if (survivors.length > 0) {
	console.error(`Not killed:\n${survivors.join('\n')}`);
	process.exitCode = 1;
}

async function judge({file, find, put, killer}: Mutant): Promise<'killed' | 'survived' | 'textless' | 'testless'> {
	const source = readFileSync(join(ROOT, file), 'utf8');
	if (source.split(find).length !== 2) return 'textless';
	const replaced = source.replace(find, () => put);
	const mutated = file.endsWith('.sql') ? replaced : toJavaScript(replaced);
	if (await passes(killer, serving(file, mutated))) return 'survived';
	// Only a test that passes without the defect has found it.
	return (await passes(killer)) ? 'killed' : 'testless';
}

async function passes([suite, title]: Mutant['killer'], preload?: URL): Promise<boolean> {
	return (await runSuite(suite, {...LIMITS, title, preload})) === undefined;
}

/**
 * `npm run near -- FILE… [--all] [--list]`: runs the tests that a change of these files can break: those that reach them by the fewest imports, as many as
 * take about a minute by their kept times. It says how many it left out; `--all` runs them too. `--list` prints their names instead.
 */
import {spawnSync} from 'node:child_process';
import {existsSync, globSync, readFileSync} from 'node:fs';
import {availableParallelism} from 'node:os';
import {dirname, join, matchesGlob, relative, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {LONG} from './selections.ts';
import {keptTimes} from './times/times.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BUDGET_MS = 60_000;
/** How many files AVA runs at a time. */
const CONCURRENCY = 4;
/** For a file without a kept time, which is new. */
const UNKNOWN = {wallMs: 5000, cpuMs: 5000};
/** Files that are found by a name which is put together, by those that put it together. */
const NAMED: Readonly<Record<string, readonly string[]>> = {
	'lib/support/node.ts': globSync('workers/*', {cwd: ROOT}),
	'lib/cli/map/shell/shell-command.ts': ['lib/cli/map/shell/shell-task.ts'],
	'test/fixtures/program.ts': globSync('test/fixtures/programs/*', {cwd: ROOT}),
	'lib/store/postgres/connection/schema.ts': globSync('lib/store/postgres/**/*.sql', {cwd: ROOT}),
};
/** A module that is imported, or named by its URL, such as the first file of a thread or program. An import of types alone can break nothing. */
const REFERENCE = /^(?:import|export)\b(?! type\b)(?:[^'"`;]*\bfrom)? ?['"](\.[^'"]+)['"]|\bimport\('(\.[^']+)'\)|\bnew URL\('(\.[^']+\.ts)'/gm;

const words = process.argv.slice(2);
// npm begins in the root of the checkout, also from a folder of it.
const changed = words.filter(word => !word.startsWith('--')).map(word => relative(ROOT, resolve(process.env['INIT_CWD'] ?? '.', word)));
if (changed.length === 0) fail('Name the files that have changed: npm run near -- FILE…');
for (const file of changed) if (!existsSync(join(ROOT, file))) fail(`There is no file ${file}.`);
const distances = distancesTo(changed);
const times = keptTimes();
const timeOf = (file: string) => times.get(file) ?? UNKNOWN;
const isLong = (file: string) => LONG.some(pattern => matchesGlob(file, pattern));
const found = [...distances.keys()]
	.filter(file => file.endsWith('.test.ts'))
	.sort((a, b) => (distances.get(a) as number) - (distances.get(b) as number) || timeOf(a).wallMs - timeOf(b).wallMs);
const chosen = words.includes('--all') ? found : chooseNearest();
const left = found.length - chosen.length;
if (left > 0) console.error(`Left out: ${left} of ${found.length} test files, which are further away, or take longer; --all runs them, too.`);
if (words.includes('--list')) for (const file of chosen) console.log(file);
else if (chosen.length > 0) process.exitCode = spawnSync(process.execPath, [join(ROOT, 'test/run.ts'), ...chosen], {cwd: ROOT, stdio: 'inherit'}).status ?? 1;
else fail(`No test ${found.length > 0 ? 'that takes a minute' : 'of any length'} reaches it by its imports. Try \`npm test\`.`);

function fail(sentence: string): never {
	console.error(sentence);
	process.exit(2);
}

/** By each file those that import it, or start it. */
function findImporters(): Map<string, string[]> {
	const importers = new Map<string, string[]>();
	const imports = (file: string, imported: string) => importers.set(imported, [...(importers.get(imported) ?? []), file]);
	for (const file of globSync(['{lib,workers,test,bench,examples}/**/*.{ts,cts}'], {cwd: ROOT})) {
		if (!importers.has(file)) importers.set(file, []);
		const matches = readFileSync(join(ROOT, file), 'utf8').matchAll(REFERENCE);
		for (const match of matches) imports(file, join(dirname(file), (match[1] ?? match[2] ?? match[3]) as string));
		for (const named of NAMED[file] ?? []) imports(file, named);
	}
	return importers;
}

/** How many imports lead from each source to the nearest of these files, if any do. */
function distancesTo(files: readonly string[]): Map<string, number> {
	const importers = findImporters();
	const distances = new Map(files.filter(file => importers.has(file)).map(file => [file, 0]));
	// A map yields what is added while it is read.
	for (const [file, distance] of distances)
		for (const importer of importers.get(file) ?? []) if (!distances.has(importer)) distances.set(importer, distance + 1);
	return distances;
}

/** Those that were named come first, whatever they take. The rest of the long tests are those of the nightly run. */
function chooseNearest(): string[] {
	let [wallMs, cpuMs] = [0, 0];
	return found.filter(file => {
		if (changed.includes(file)) return true;
		const time = timeOf(file);
		if (isLong(file) || time.wallMs > BUDGET_MS) return false;
		if (wallMs + time.wallMs > BUDGET_MS * CONCURRENCY || cpuMs + time.cpuMs > BUDGET_MS * availableParallelism()) return false;
		wallMs += time.wallMs;
		cpuMs += time.cpuMs;
		return true;
	});
}

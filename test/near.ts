/**
 * `npm run near -- FILE… [--all]`: runs the tests that a change of these files can break: those that reach them by the fewest imports, as many as take about
 * a minute by their kept times. It says how many it left out; `--all` runs them too.
 */
import {spawnSync} from 'node:child_process';
import {globSync, readFileSync} from 'node:fs';
import {dirname, join, relative, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {keptTimes} from './times/times.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BUDGET_MS = 60_000;
/** How many files AVA runs at a time. */
const CONCURRENCY = 4;
/** A module that is imported, or named by its URL, such as the first file of a thread or program. An import of types alone can break nothing. */
const REFERENCE = /^(?:import|export)\b(?! type\b)(?:[^'"`;]*\bfrom)? ?['"](\.[^'"]+)['"]|\bimport\('(\.[^']+)'\)|\bnew URL\('(\.[^']+\.ts)'/gm;

const words = process.argv.slice(2);
const changed = words.filter(word => word !== '--all').map(word => relative(ROOT, resolve(word)));
const distances = distancesTo(changed);
for (const file of changed) if (distances.size === 0 || !distances.has(file)) throw new Error(`There is no source ${file} here.`);
const times = keptTimes();
const msOf = (file: string) => times.get(file)?.wallMs ?? 0;
const found = [...distances.keys()]
	.filter(file => file.endsWith('.test.ts'))
	.sort((a, b) => (distances.get(a) as number) - (distances.get(b) as number) || msOf(a) - msOf(b));
const chosen = words.includes('--all') ? found : chooseNearest();
const left = found.length - chosen.length;
if (left > 0) console.log(`Left out: ${left} of ${found.length} test files, which are further away, or take longer; --all runs them, too.`);
if (chosen.length > 0) process.exitCode = spawnSync(process.execPath, [join(ROOT, 'test/run.ts'), ...chosen], {cwd: ROOT, stdio: 'inherit'}).status ?? 1;
else console.log('No test of a known time reaches it in a minute.');

/** How many imports lead from each source to the nearest of these files, if any do. */
function distancesTo(files: readonly string[]): Map<string, number> {
	const importers = new Map<string, string[]>();
	for (const file of globSync(['{lib,workers,test,bench,examples}/**/*.ts'], {cwd: ROOT})) {
		if (!importers.has(file)) importers.set(file, []);
		for (const match of readFileSync(join(ROOT, file), 'utf8').matchAll(REFERENCE)) {
			const imported = join(dirname(file), (match[1] ?? match[2] ?? match[3]) as string);
			importers.set(imported, [...(importers.get(imported) ?? []), file]);
		}
	}
	const distances = new Map(files.filter(file => importers.has(file)).map(file => [file, 0]));
	// A map yields what is added while it is read.
	for (const [file, distance] of distances)
		for (const importer of importers.get(file) ?? []) if (!distances.has(importer)) distances.set(importer, distance + 1);
	return distances;
}

/** Files without a kept time are those of the nightly run. */
function chooseNearest(): string[] {
	let sum = 0;
	return found.filter(file => {
		const ms = times.get(file)?.wallMs ?? Infinity;
		if (ms > BUDGET_MS || sum + ms > BUDGET_MS * CONCURRENCY) return false;
		sum += ms;
		return true;
	});
}

/**
 * `npm run near -- FILE… [--all] [--list]`: runs the tests that a change of these files can break: those that reach them by the fewest imports, as many as
 * take about a minute by their kept times. It says how many it left out; `--all` runs them too. `--list` prints their names instead.
 */
import {spawnSync} from 'node:child_process';
import {existsSync, globSync, readFileSync} from 'node:fs';
import {availableParallelism} from 'node:os';
import {dirname, join, relative, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {keptTimes} from './times/times.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BUDGET_MS = 60_000;
/** What has the functions of PostgreSQL. */
const READS_SQL = 'lib/store/postgres/connection/schema.ts';
/** How many files AVA runs at a time. */
const CONCURRENCY = 4;
/** A module that is imported, or named by its URL, such as the first file of a thread or program. An import of types alone can break nothing. */
const REFERENCE = /^(?:import|export)\b(?! type\b)(?:[^'"`;]*\bfrom)? ?['"](\.[^'"]+)['"]|\bimport\('(\.[^']+)'\)|\bnew URL\('(\.[^']+\.ts)'/gm;

const words = process.argv.slice(2);
const changed = words.filter(word => !word.startsWith('--')).map(word => relative(ROOT, resolve(word)));
const sources = changed.map(file => (file.endsWith('.sql') ? READS_SQL : file));
const distances = distancesTo(sources);
for (const [index, source] of sources.entries()) if (!distances.has(source) || !existsSync(changed[index] as string)) fail(changed[index] as string);
const times = keptTimes();
const msOf = (file: string) => times.get(file)?.wallMs ?? 0;
const found = [...distances.keys()]
	.filter(file => file.endsWith('.test.ts'))
	.sort((a, b) => (distances.get(a) as number) - (distances.get(b) as number) || msOf(a) - msOf(b));
const chosen = words.includes('--all') ? found : chooseNearest();
const left = found.length - chosen.length;
if (left > 0) console.error(`Left out: ${left} of ${found.length} test files, which are further away, or take longer; --all runs them, too.`);
if (words.includes('--list')) for (const file of chosen) console.log(file);
else if (chosen.length > 0) process.exitCode = spawnSync(process.execPath, [join(ROOT, 'test/run.ts'), ...chosen], {cwd: ROOT, stdio: 'inherit'}).status ?? 1;
else console.log('No test of a known time reaches it in a minute.');

function fail(file: string): never {
	console.error(`${file} is no source of lib, workers, test, bench or examples that another file imports.`);
	process.exit(2);
}

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
	let [wallMs, cpuMs] = [0, 0];
	return found.filter(file => {
		const time = times.get(file);
		if (!time || time.wallMs > BUDGET_MS) return false;
		if (wallMs + time.wallMs > BUDGET_MS * CONCURRENCY || cpuMs + time.cpuMs > BUDGET_MS * availableParallelism()) return false;
		wallMs += time.wallMs;
		cpuMs += time.cpuMs;
		return true;
	});
}

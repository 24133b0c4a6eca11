import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {FOLDER} from './folder.ts';

const ROOT = fileURLToPath(new URL('../', FOLDER));
const REVISIONS = join(ROOT, 'dist-bench', 'revisions');

/** Path of the module by which a built revision takes a measurement. */
export function measuringModule(revision: string): string {
	return join(REVISIONS, revision, 'dist-bench', 'bench', 'one.js');
}

/**
 * Builds another revision of this repository with its own measuring suite, unless it has been built before.
 * @returns its short hash
 * @throws Error if there is no such revision, or it can't be built
 */
export function buildRevision(name: string): string {
	const revision = resolve(name);
	if (existsSync(measuringModule(revision))) return revision;
	// Built in another folder first, so that an interrupted build does not pass for a finished one.
	const [place, partial] = [join(REVISIONS, revision), join(REVISIONS, `${revision}-${process.pid}`)];
	rmSync(partial, {recursive: true, force: true});
	mkdirSync(partial, {recursive: true});
	process.stderr.write(`Building ${revision} …\n`);
	try {
		run(ROOT, 'git', 'archive', '--output', join(partial, 'source.tar'), revision);
		run(partial, 'tar', '-xf', 'source.tar');
		rmSync(join(partial, 'source.tar'));
		if (sameDependencies(partial)) symlinkSync(join(ROOT, 'node_modules'), join(partial, 'node_modules'), 'junction');
		else run(partial, 'npm', 'ci', '--no-audit', '--no-fund');
		run(partial, process.execPath, join('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.bench.json');
		run(partial, 'npm', 'run', '--if-present', 'sql', '--', 'dist-bench');
		rmSync(place, {recursive: true, force: true});
		renameSync(partial, place);
	} catch (error) {
		rmSync(partial, {recursive: true, force: true});
		throw error;
	}
	return revision;
}

function resolve(name: string): string {
	try {
		return execFileSync('git', ['rev-parse', '--short', '--verify', '--end-of-options', `${name}^{commit}`], {
			cwd: ROOT,
			encoding: 'utf8',
			stdio: ['ignore', 'pipe', 'ignore'],
		}).trim();
	} catch {
		throw new Error(`--compare expects a revision of this repository, such as HEAD~1 or a tag; there is no ${name}`);
	}
}

function sameDependencies(folder: string): boolean {
	const lockOf = (place: string) => readFileSync(join(place, 'package-lock.json'), 'utf8');
	return lockOf(folder) === lockOf(ROOT);
}

function run(cwd: string, command: string, ...words: string[]): void {
	execFileSync(command, words, {cwd, stdio: ['ignore', 'ignore', 'inherit']});
}

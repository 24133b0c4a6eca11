import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {globSync} from 'node:fs';
import {join} from 'node:path';
import {text} from 'node:stream/consumers';
import {fileURLToPath} from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const AVA = join(ROOT, 'node_modules/ava/entrypoints/cli.js');

const SIMULATION = 'test/simulation/*.test.ts';

/** Which tests must find the mutants of a folder: its contract and its own tests, the laws, and the simulation. */
const SUITES: Readonly<Record<string, readonly string[]>> = {
	'lib/dispatcher': ['test/dispatcher/*.test.ts', SIMULATION],
	'lib/store': ['test/store/**/*.test.ts', 'test/property/*.test.ts', 'test/fault/laws.test.ts', SIMULATION],
	'lib/pool': ['test/pool/**/*.test.ts', SIMULATION],
};

export const FOLDERS: readonly string[] = Object.keys(SUITES);

/** They choose which processes of the machine are stopped and killed. A mutant would choose others. */
const SPARED: ReadonlySet<string> = new Set(['processes/processes', 'threads/threads'].map(name => `lib/pool/${name}.ts`));

/** The sources whose mutants are scored. */
export function scoredFiles(): string[] {
	return FOLDERS.flatMap(folder => globSync(`${folder}/**/*.{ts,sql}`, {cwd: ROOT}).sort()).filter(file => !SPARED.has(file));
}

/** Those that start a server find the mutants of its SQL. */
const POSTGRES = [
	'store/{postgres,postgres-errors,postgres-paging,postgres-upgrade,own-transaction,many-stores,views,notifications,lost-answers}',
	'property/postgres-store',
	'engine/postgres',
];

/** The test files that must find a mutant of this source. */
export function suitesOf(file: string): string[] {
	if (file.endsWith('.sql')) return POSTGRES.flatMap(suite => globSync(`test/${suite}.test.ts`, {cwd: ROOT}).sort());
	return globSync(SUITES[FOLDERS.find(folder => file.startsWith(`${folder}/`)) ?? ''] ?? [], {cwd: ROOT}).sort();
}

/** A test that failed; without a title, its file did not end well. */
export interface Failure {
	readonly suite: string;
	readonly title?: string | undefined;
}

export interface SuiteOptions {
	/** Tests with this title only. */
	readonly title?: string | undefined;
	/** What each process and thread of the tests preloads. */
	readonly preload?: URL | undefined;
	/** Variables of the tests: their seed, and how much they draw. */
	readonly env?: Readonly<Record<string, string>>;
	/** After so long without the end of a test, and after so long in all, the suite has failed. */
	readonly idleMs: number;
	readonly limitMs: number;
}

/** Runs a test file until its first failure. */
export async function runSuite(suite: string, {title, preload, env, idleMs, limitMs}: SuiteOptions): Promise<Failure | undefined> {
	const match = title === undefined ? [] : ['--match', title.replaceAll(/[*!\\]/g, '\\$&')];
	// A process group of its own: a mutant may leave behind processes that compute for ever.
	const child = spawn(process.execPath, [AVA, '--tap', '--fail-fast', '--concurrency=1', `--timeout=${idleMs}ms`, suite, ...match], {
		cwd: ROOT,
		detached: true,
		stdio: ['ignore', 'pipe', 'ignore'],
		env: {
			...process.env,
			// The case that finds it might not be drawn.
			FAENA_ALL: '1',
			...env,
			...(preload && {NODE_OPTIONS: `--disable-warning=ExperimentalWarning --import=${preload.href}`}),
		},
	});
	running.add(child.pid);
	const timer = setTimeout(() => endGroup(child.pid), limitMs);
	const output = text(child.stdout);
	const [code] = (await once(child, 'exit')) as [number | null];
	clearTimeout(timer);
	endGroup(child.pid);
	running.delete(child.pid);
	return code === 0 ? undefined : {suite, title: failedTitle(await output)};
}

/** Process groups of the suites that run now. They end with this process. */
const running = new Set<number | undefined>();
process.on('exit', () => running.forEach(endGroup));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

function endGroup(group: number | undefined): void {
	try {
		if (group !== undefined) process.kill(-group, 'SIGKILL');
	} catch {
		// All of it has ended.
	}
}

function failedTitle(tap: string): string | undefined {
	return /^not ok \d+ - (.*)$/m.exec(tap)?.[1]?.replaceAll('\\#', '#');
}

/** The entries import this file first: an older Node would crash in native code before it could report its version. */

import {existsSync} from 'node:fs';
import {hostname} from 'node:os';
import {fileURLToPath} from 'node:url';
import {Worker, type WorkerOptions} from 'node:worker_threads';
import {FaenaError} from './errors.ts';

const NEEDED = [22, 18] as const;

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
	throw new FaenaError('UnsupportedNode', `Faena needs Node.js ${NEEDED.join('.')} or newer; this is ${process.versions.node}.`);
}

const HOST = hostname();

// In a bundle in the form of CommonJS.
if ((import.meta.url as string | undefined) === undefined) throw bundled('it does not know where it is');

/** Names a process, for people. */
export function nameOfProcess(pid: number = process.pid): string {
	return `process ${pid} on ${HOST}`;
}

/** Before Node 24, an error that a microtask throws has no async context without this option: a worker could not tell which job threw it. */
export const WORKER_ARGS: readonly string[] = major < 24 ? ['--experimental-async-context-frame'] : [];

/** Node options for this process alone. A thread or child process with them would run other code, open the debugger's port again, or be refused. */
const OWN = /^(-e|-p|-pe|-i|-c|--(eval|print|interactive|check|input-type|entry-url|inspect\S*|test|test-\S*|watch|watch-\S*))(=|$)/;

/** The Node options that a child process or thread takes over from this process. */
export function inheritedArgs(args: readonly string[] = process.execArgv): string[] {
	let isOwn = false;
	return args.filter(arg => {
		// An argument without a hyphen is the value of the option before it.
		if (arg.startsWith('-')) isOwn = OWN.test(arg);
		return !isOwn;
	});
}

/**
 * Starts a thread, which inherits the Node options of this process, but not `--input-type`, under which Node starts no thread from a file.
 * @param execArgv its own Node options; those that Node allows in no thread are left out
 */
export function startThread(file: URL, options: WorkerOptions, execArgv: readonly string[] = []): Worker {
	if (execArgv.length === 0 && !process.execArgv.some(arg => arg.startsWith('--input-type'))) return new Worker(file, options);
	const args = [...inheritedArgs(), ...execArgv];
	try {
		return new Worker(file, {...options, execArgv: args});
	} catch (error) {
		const refused = refusedArgs(error);
		return new Worker(file, {...options, execArgv: args.filter(arg => !refused.includes(arg))});
	}
}

/** The options that Node refused for a thread, read from its error. Throws any other error. */
export function refusedArgs(error: unknown): string[] {
	const {code, message} = error as NodeJS.ErrnoException;
	const [, list] = (code === 'ERR_WORKER_INVALID_EXEC_ARGV' && /flags: (.*)$/s.exec(message)) || [];
	if (list === undefined) throw error;
	return list.split(', ');
}

/** The URL of a file in `workers/`, compiled in the package. `tsc` does not rewrite the strings in `new URL()`, so this chooses the extension. */
export function workerUrl(name: 'dispatcher' | 'heartbeat' | 'thread-entry' | 'process' | 'spawner' | 'watchdog' | 'freshness'): URL {
	const [asModule, asCommonJs] = import.meta.url.endsWith('.ts') ? ['ts', 'cts'] : ['js', 'cjs'];
	const file = new URL(`../../workers/${name}.${name === 'thread-entry' ? asCommonJs : asModule}`, import.meta.url);
	if (!existsSync(file)) throw bundled(`${fileURLToPath(file)} is missing`);
	return file;
}

function bundled(what: string): FaenaError {
	const advice = 'Leave the package faena out of the bundle, for instance with esbuild --packages=external';
	return new FaenaError(
		'Bundled',
		`Faena can't run from a bundle, since its threads start from files of its package: ${what}. ${advice}; docs/building.md shows more.`,
	);
}

import {type ChildProcess, execFileSync, spawn} from 'node:child_process';
import {once} from 'node:events';
import {openSync} from 'node:fs';
import type {Readable} from 'node:stream';
import {text} from 'node:stream/consumers';
import {fileURLToPath} from 'node:url';
import {moduleUrl} from '../measure/module-url.ts';

/** The words that start `faena`. */
export const FAENA = [process.execPath, fileURLToPath(moduleUrl('../lib/cli/main'))];

/** How a program ran. */
export interface Ran {
	readonly seconds: number;
	/** Of all its processes. */
	readonly cpuSeconds: number;
	readonly stdout: string;
	readonly stderr: string;
}

/**
 * Runs a program to its end. Its stdout can go to a file.
 * @throws Error with what it printed to stderr, if its exit code is not 0
 */
export async function run(words: readonly string[], {cwd = '.', file}: {readonly cwd?: string; readonly file?: string} = {}): Promise<Ran> {
	const start = performance.now();
	// The shell tells the processor time of its child, and of all processes for which that has waited.
	const stdout = file === undefined ? 'pipe' : openSync(file, 'w');
	const shell = spawn('sh', ['-c', '"$@" 3>&-; code=$?; times >&3; exit $code', 'sh', ...words], {cwd, stdio: ['ignore', stdout, 'pipe', 'pipe']});
	const texts = Promise.all([shell.stdout, shell.stderr, shell.stdio[3] as Readable].map(stream => stream && text(stream)));
	const [code] = (await once(shell, 'close')) as [number | null];
	const seconds = (performance.now() - start) / 1000;
	const [out, stderr, times] = await texts;
	if (code !== 0) throw new Error(`${words.join(' ')} ended with exit code ${code}: ${stderr}`);
	const [, ofChildren = ''] = (times ?? '').trim().split('\n');
	const parts = [...ofChildren.matchAll(/(\d+)m([\d.]+)s/g)].map(([, minutes, rest]) => 60 * Number(minutes) + Number(rest));
	return {seconds, cpuSeconds: parts.reduce((sum, each) => sum + each, 0), stdout: out ?? '', stderr: stderr ?? ''};
}

/** Starts a program that is to be killed. */
export function start(words: readonly string[], cwd: string): ChildProcess {
	const [program = '', ...args] = words;
	return spawn(program, args, {cwd, stdio: 'ignore'});
}

/** The last line that faena prints. */
export function summaryOf({stderr}: Ran): string {
	return stderr.trim().split('\n').at(-1) ?? '';
}

export function isInstalled(program: string): boolean {
	try {
		execFileSync(program, ['--version'], {stdio: 'ignore'});
		return true;
	} catch {
		return false;
	}
}

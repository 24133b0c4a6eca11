/** Runs programs as a user does: a process of its own in a folder of its own, real signals, real pipes. */
import {type ChildProcessWithoutNullStreams, spawn} from 'node:child_process';
import {once} from 'node:events';
import {readFileSync, watch, writeFileSync} from 'node:fs';
import {constants} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import type {ExecutionContext} from 'ava';
import {makeFolder} from '../fixtures/folder.ts';
import {withoutSlowStarts} from '../fixtures/program.ts';
import {checkOutput} from './output-schema.ts';

export const FAENA = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));

export interface Ended {
	/** The code that a shell would report: 128 and more after a signal. */
	readonly code: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** A result line of `faena map`. */
export interface Line {
	readonly key: string;
	readonly jobId: number;
	readonly item?: unknown;
	readonly status: string;
	readonly reused?: boolean;
	readonly result?: unknown;
	readonly error?: {readonly name: string; readonly message: string};
}

/** A new folder, and programs that run in it and end with the test. */
export class Folder {
	readonly path: string;
	readonly #t: ExecutionContext;

	constructor(t: ExecutionContext) {
		this.path = makeFolder(t);
		this.#t = t;
		writeFileSync(this.trace, '');
	}

	get trace(): string {
		return join(this.path, 'trace');
	}

	write(name: string, content = name): void {
		writeFileSync(join(this.path, name), content);
	}

	/** The payloads with which tasks of `traces-executions.ts` were executed, in order. */
	executions(): string[] {
		return readFileSync(this.trace, 'utf8').split('\n').filter(Boolean);
	}

	/** Resolves once this line is in the trace. */
	async traced(line: string): Promise<void> {
		const watcher = watch(this.trace);
		while (!this.executions().includes(line)) await once(watcher, 'change');
		watcher.close();
	}

	faena(...args: readonly string[]): Program {
		return this.faenaIn('.', ...args);
	}

	/** In a folder of this folder. */
	faenaIn(folder: string, ...args: readonly string[]): Program {
		return new Program(this.#t, join(this.path, folder), process.execPath, [FAENA, ...args], this.trace);
	}

	/** A program that imports Faena by its name: from the sources, so that it needs no build. */
	run(program: string, ...args: readonly string[]): Program {
		return new Program(this.#t, this.path, process.execPath, ['--conditions=faena-source', program, ...args]);
	}

	/** A command line, with its pipes and redirections. */
	sh(line: string): Program {
		return new Program(this.#t, this.path, '/bin/sh', ['-c', line]);
	}
}

/** A running program. Its stdin stays open until `end`. */
export class Program {
	readonly child: ChildProcessWithoutNullStreams;
	readonly #closed: Promise<unknown[]>;
	#stdout = '';
	#stderr = '';
	/** Of the command `faena`. */
	readonly #words: readonly string[] | undefined;

	constructor(t: ExecutionContext, cwd: string, command: string, args: readonly string[], trace = join(cwd, 'trace')) {
		// In a process group of its own, so that `kill` can end it with its children.
		this.child = spawn(command, args, {cwd, env: {...process.env, TRACE: trace}, detached: true});
		this.#words = args[0] === FAENA ? args.slice(1) : undefined;
		this.#closed = once(this.child, 'close');
		t.teardown(() => this.#killAll());
		this.child.stdout.setEncoding('utf8').on('data', text => (this.#stdout += text));
		this.child.stderr.setEncoding('utf8').on('data', text => (this.#stderr += text));
		// The program may end before it has read everything.
		this.child.stdin.on('error', () => undefined);
	}

	/** Resolves once stdout has that many whole lines. */
	async printed(lines: number): Promise<void> {
		while (this.#stdout.split('\n').length <= lines) {
			if (this.child.exitCode !== null) throw new Error(`ended before it had printed ${lines} lines: ${this.#stderr}`);
			await Promise.race([once(this.child.stdout, 'data'), this.#closed]);
		}
	}

	/** The first lines of stdout, once it has that many. */
	async firstLines(lines: number): Promise<string[]> {
		await this.printed(lines);
		return this.#stdout.split('\n').slice(0, lines);
	}

	/** Ends the program and its children, as `kill -9` does. */
	async kill(): Promise<Ended> {
		this.#killAll();
		return this.end();
	}

	async end(input = ''): Promise<Ended> {
		this.child.stdin.end(input);
		const [code, signal] = (await this.#closed) as [number | null, NodeJS.Signals | null];
		if (this.#words) checkOutput(this.#words, this.#stdout);
		return {code: code ?? 128 + constants.signals[signal as NodeJS.Signals], stdout: this.#stdout, stderr: withoutSlowStarts(this.#stderr)};
	}

	#killAll(): void {
		try {
			process.kill(-(this.child.pid as number), 'SIGKILL');
		} catch {
			// All processes have ended.
		}
	}
}

/** The lines of NDJSON. A line that is not JSON fails the test. */
export function parse(stdout: string): Line[] {
	return stdout
		.split('\n')
		.slice(0, -1)
		.map(line => JSON.parse(line));
}

export function tasks(fixture: string, task: string): string {
	return `${fileURLToPath(new URL(`../fixtures/${fixture}.ts`, import.meta.url))}#${task}`;
}

/** A refusal is one sentence, without a stack. */
export function assertSentence(t: ExecutionContext, {code, stdout, stderr}: Ended, expected: RegExp, expectedCode = 2): void {
	t.is(code, expectedCode, stderr);
	t.is(stdout, '');
	t.regex(stderr, /^faena: [^\n]+\n$/);
	t.regex(stderr, expected);
}

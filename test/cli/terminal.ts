/** A terminal, in which a command runs as a user sees it: a pseudo-terminal by `script` of util-linux, and its screen by xterm.js. */
import {type ChildProcessWithoutNullStreams, spawn} from 'node:child_process';
import {once} from 'node:events';
import xterm from '@xterm/headless';
import type {ExecutionContext} from 'ava';
import {shellQuote} from '../../lib/cli/terminal/shell-quote.ts';
import {FAENA, type Folder} from './command.ts';

/** The `script` of other systems has other options. */
export const HAS_TERMINALS = process.platform === 'linux';

export const CTRL_C = '\x03';

interface TerminalOptions {
	readonly columns?: number;
	readonly rows?: number;
	readonly env?: Readonly<Record<string, string>>;
}

export class Terminal {
	readonly #child: ChildProcessWithoutNullStreams;
	readonly #screen: InstanceType<typeof xterm.Terminal>;
	readonly #closed: Promise<unknown[]>;
	/** The screen has shown all that was printed. */
	#shown: Promise<void> = Promise.resolve();
	/** All that was printed, with escape sequences. */
	printed = '';

	constructor(t: ExecutionContext, folder: Folder, args: readonly string[], {columns = 80, rows = 24, env = {}}: TerminalOptions = {}) {
		this.#screen = new xterm.Terminal({cols: columns, rows, allowProposedApi: true});
		const words = [process.execPath, FAENA, ...args].map(shellQuote).join(' ');
		const settings = {SHELL: '/bin/sh', TERM: 'xterm-256color', TRACE: folder.trace};
		const all: NodeJS.ProcessEnv = {...process.env, ...settings, ...env};
		// AVA sets it for its own reporter.
		for (const name of ['FORCE_COLOR', 'NO_COLOR', 'CI']) if (!(name in env)) delete all[name];
		this.#child = spawn('script', ['-qec', `stty cols ${columns} rows ${rows}; exec ${words}`, '/dev/null'], {cwd: folder.path, env: all, detached: true});
		this.#closed = once(this.#child, 'close');
		this.#child.stdin.on('error', () => undefined);
		this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
			this.printed += text;
			this.#shown = new Promise(resolve => this.#screen.write(text, resolve));
		});
		t.teardown(() => {
			// Its terminal hangs up, which ends the command.
			if (this.#child.exitCode === null) this.#child.kill('SIGKILL');
		});
	}

	/** Types on the keyboard. */
	type(keys: string): void {
		this.#child.stdin.write(keys);
	}

	/** Resolves with the screen once it matches. */
	async shows(pattern: RegExp): Promise<string> {
		for (;;) {
			const next = once(this.#child.stdout, 'data');
			await this.#shown;
			const text = this.text();
			if (pattern.test(text)) return text;
			// Also if the end of the test has killed it.
			if (this.#child.exitCode !== null || this.#child.signalCode !== null) throw new Error(`It ended, and the screen shows no ${pattern}:\n${text}`);
			await Promise.race([next, this.#closed]);
		}
	}

	/** The lines of the screen, and those that have left it at its top. */
	text(): string {
		const {active} = this.#screen.buffer;
		return Array.from({length: active.length}, (_, row) => active.getLine(row)?.translateToString(true) ?? '')
			.join('\n')
			.trimEnd();
	}

	/** Resolves with the code that a shell would report, and the last screen. */
	async end(): Promise<{readonly code: number; readonly screen: string}> {
		const [code] = (await this.#closed) as [number];
		await this.#shown;
		return {code, screen: this.text()};
	}
}

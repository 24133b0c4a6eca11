import {statSync} from 'node:fs';
import {resolve} from 'node:path';
import {argument, bad, boolean, callable, checked, choice, integer, kind, list, object, size, string, text} from '../job/checks.ts';
import type {LogLevel, StopReason} from '../job/job.ts';
import type {ExecOptions, ExecResult} from '../job/task/exec-options.ts';
import {DECISION} from '../job/task/task-errors.ts';
import type {Connection, NewCommand} from '../spawner/command-client.ts';
import {type CommandEnd, howItEnded} from '../spawner/frames.ts';
import {KeptOutput, OutputLines} from '../spawner/output.ts';
import {FaenaError} from '../support/errors.ts';
import {clearTimeout, setTimeout} from '../support/primordials.ts';

export interface CommandOptions {
	connect(): Promise<Connection>;
	readonly graceMs: number;
}

export interface NewLine {
	readonly level: LogLevel;
	readonly text: string;
}

interface CommandingJob {
	readonly job: {readonly id: number; readonly execution: number};
	readonly signal: AbortSignal;
	readonly stopReason: StopReason | undefined;
	writeLines(lines: readonly NewLine[], mayWait?: boolean): void;
}

/** The part of the grace after which a command is killed. So it is gone, and its job has ended, before the worker would be ended for it. */
const PART_OF_GRACE = 0.9;
/** For a job in the caller's own thread, which has no grace. */
const DEFAULT_GRACE_MS = 2000;
/** Output becomes lines of the log this often. */
const LOG_EVERY_MS = 50;
/** Of stderr, in an error that is stored with the job. */
const MAX_ERROR_CHARACTERS = 4096;
const MAX_MESSAGE_CHARACTERS = 200;

/** The commands of one execution. They end with it at the latest. */
export class JobCommands {
	readonly #job: CommandingJob;
	readonly #options: CommandOptions;
	readonly #open = new Set<Promise<unknown>>();
	readonly #kills = new Set<(signal: NodeJS.Signals) => void>();
	#isOver = false;

	constructor(job: CommandingJob, options: CommandOptions) {
		this.#job = job;
		this.#options = options;
	}

	async run(file: unknown, args: unknown, options: unknown): Promise<ExecResult<string | Buffer>> {
		const running = this.#run(file, args, options);
		this.#open.add(running);
		try {
			return await running;
		} finally {
			this.#open.delete(running);
		}
	}

	/** The task has ended: kills its commands. Resolves once they are gone. */
	async end(): Promise<void> {
		this.#isOver = true;
		for (const kill of this.#kills) kill('SIGKILL');
		await Promise.allSettled(this.#open);
	}

	async #run(file: unknown, args: unknown, options: unknown): Promise<ExecResult<string | Buffer>> {
		const request = check(file, args, options);
		this.#assertMayRun();
		const connection = await this.#options.connect();
		this.#assertMayRun();
		const {reject: rejects, maxOutputBytes, encoding, log, onOutput} = request.options;
		const output = {stdout: new KeptOutput(maxOutputBytes, 'first'), stderr: new KeptOutput(maxOutputBytes, 'last')};
		const logger = log ? new Logger((lines, isEnd) => this.#job.writeLines(lines, isEnd)) : undefined;
		const told = onOutput && new Told(onOutput, () => command.kill('SIGKILL'));
		const command = connection.start({
			...request.command,
			output: (stream, part) => {
				output[stream].add(part);
				logger?.add(stream, part);
				const busy = told?.tell(part, stream);
				// A command that is stopped does not wait until the task has taken its output.
				return this.#isStopped ? undefined : busy;
			},
		});
		const end = await this.#follow(command);
		logger?.end();
		if (!this.#isStopped) await told?.done;
		this.#assertMayRun();
		if (told?.problem) throw told.problem.error;
		const name = request.shown;
		if (end === 'lost') throw lost(name, this.#job.job.execution);
		const {cwd, nice} = request.command;
		if ('message' in end) throw notStarted(name, end, cwd);
		const {stdout, stderr} = output;
		if (nice !== undefined && isRefusalOfNice(end, stderr.text)) throw notStarted(name, {message: stderr.text.trim()}, cwd);
		if (rejects && end.exitCode !== 0) throw failed(`${name} ${howItEnded(end.exitCode, end.signal)}${sayingOf(stderr.text)}`, end, stderr.text);
		return {
			...end,
			stdout: encoding === 'buffer' ? stdout.bytes : stdout.text,
			stderr: encoding === 'buffer' ? stderr.bytes : stderr.text,
			cut: {stdout: stdout.cut, stderr: stderr.cut},
		};
	}

	/** Follows a command to its end, and stops it when its job is asked to stop: first by SIGTERM, then by SIGKILL. */
	async #follow({ended, kill}: {readonly ended: Promise<CommandEnd | 'lost'>; kill(signal: NodeJS.Signals): void}): Promise<CommandEnd | 'lost'> {
		const {signal} = this.#job;
		const {graceMs} = this.#options;
		let timer: NodeJS.Timeout | undefined;
		const stop = () => {
			kill('SIGTERM');
			timer = setTimeout(kill, PART_OF_GRACE * (Number.isFinite(graceMs) ? graceMs : DEFAULT_GRACE_MS), 'SIGKILL');
		};
		signal.addEventListener('abort', stop, {once: true});
		this.#kills.add(kill);
		try {
			return await ended;
		} finally {
			signal.removeEventListener('abort', stop);
			if (timer) clearTimeout(timer);
			this.#kills.delete(kill);
		}
	}

	get #isStopped(): boolean {
		return this.#isOver || this.#job.stopReason !== undefined;
	}

	/** A job that was asked to stop, or has ended, starts no command, and uses no result of one. */
	#assertMayRun(): void {
		const {signal, stopReason, job} = this.#job;
		// The signal may come a little later than the reason.
		if (stopReason !== undefined)
			throw signal.aborted ? signal.reason : Object.assign(new DOMException('The job was asked to stop.', 'AbortError'), {reason: stopReason});
		if (this.#isOver) throw new FaenaError('Closed', `Job ${job.id} has ended, and its commands with it. Await ctx.exec() in the task.`);
	}
}

class Told {
	readonly #onOutput: NonNullable<ExecOptions['onOutput']>;
	readonly #onProblem: () => void;
	/** Resolves once the task has taken all that it was told of. */
	done: Promise<unknown> | undefined;
	problem: {readonly error: unknown} | undefined;

	constructor(onOutput: NonNullable<ExecOptions['onOutput']>, onProblem: () => void) {
		this.#onOutput = onOutput;
		this.#onProblem = onProblem;
	}

	/** Returns a promise if the task is busy with it for a while. */
	tell(part: Buffer, stream: 'stdout' | 'stderr'): Promise<void> | undefined {
		if (this.problem) return undefined;
		try {
			const taken = this.#onOutput(part, stream);
			if (typeof (taken as Promise<void> | undefined)?.then !== 'function') return undefined;
			const busy = Promise.resolve(taken).catch(error => this.#fail(error));
			this.done = Promise.all([this.done, busy]);
			return busy;
		} catch (error) {
			this.#fail(error);
			return undefined;
		}
	}

	#fail(error: unknown): void {
		this.problem ??= {error};
		this.#onProblem();
	}
}

/** Writes a command's output into the log of its job. */
class Logger {
	readonly #write: CommandingJob['writeLines'];
	readonly #lines = new OutputLines();
	#timer: NodeJS.Timeout | undefined;

	constructor(write: CommandingJob['writeLines']) {
		this.#write = write;
	}

	add(stream: 'stdout' | 'stderr', part: Buffer): void {
		this.#lines.add(stream, part);
		this.#timer ??= setTimeout(() => this.#flush(false), LOG_EVERY_MS);
	}

	end(): void {
		if (this.#timer) clearTimeout(this.#timer);
		this.#flush(true);
	}

	#flush(isEnd: boolean): void {
		this.#timer = undefined;
		const lines = this.#lines.take(isEnd);
		if (lines.length > 0)
			this.#write(
				lines.map(({stream, text}) => ({level: stream === 'stdout' ? 'info' : 'warn', text})),
				isEnd,
			);
	}
}

interface CheckedExec {
	readonly command: Omit<NewCommand, 'output'>;
	readonly shown: string;
	readonly options: Required<Pick<ExecOptions, 'reject' | 'encoding' | 'log'>> & Pick<ExecOptions, 'onOutput'> & {readonly maxOutputBytes: number};
}

const WHERE = 'ctx.exec()';

const EXEC_CHECKS = {
	cwd: text,
	env: object,
	input: kind<string | Uint8Array>('a text or a Uint8Array', value => typeof value === 'string' || value instanceof Uint8Array),
	nice: integer(-20, 19),
	shell: boolean,
	reject: boolean,
	maxOutput: size,
	encoding: choice('utf8', 'buffer'),
	log: boolean,
	onOutput: callable,
};

const DEFAULT_MAX_OUTPUT_BYTES = 1024 ** 2;

/** @throws FaenaError `BadOption` */
function check(file: unknown, args: unknown = [], given: unknown): CheckedExec {
	const options = checked(WHERE, given, EXEC_CHECKS) as ExecOptions & {maxOutput?: number};
	const {shell = false, encoding = 'utf8', reject = true, maxOutput = DEFAULT_MAX_OUTPUT_BYTES, log = encoding === 'utf8', onOutput} = options;
	const command = argument(WHERE, shell ? 'its command line' : 'its file', file, nonEmpty);
	const words = argument(WHERE, 'its arguments', args, list).map((each, index) => argument(WHERE, `argument ${index + 1}`, each, string));
	return {
		command: {
			...(shell ? throughShell(command, words) : {file: command, args: words}),
			cwd: resolve(options.cwd ?? '.'),
			env: environment(options.env),
			nice: options.nice,
			input: typeof options.input === 'string' ? Buffer.from(options.input) : options.input,
		},
		shown: shell ? 'The command line' : `The command ${JSON.stringify(command)}`,
		options: {reject, maxOutputBytes: maxOutput, encoding, log, ...(onOutput && {onOutput})},
	};
}

const nonEmpty = kind<string>('a text that is not empty and has no NUL character', value => typeof value === 'string' && value !== '' && !value.includes('\0'));

/** The arguments become `$1`, `$2` and so on of a POSIX shell, which needs no quotes for them. cmd.exe has no such thing. */
function throughShell(line: string, args: readonly string[]): Pick<NewCommand, 'file' | 'args' | 'isVerbatim'> {
	if (process.platform !== 'win32') return {file: '/bin/sh', args: ['-c', line, 'sh', ...args]};
	if (args.length > 0) throw bad(`${WHERE} can't give arguments to a command line of cmd.exe. Write them into the line, or leave out the option shell`);
	return {file: process.env['ComSpec'] ?? 'cmd.exe', args: ['/d', '/s', '/c', `"${line}"`], isVerbatim: true};
}

/** That of the worker, with these changes. */
function environment(changes: ExecOptions['env'] = {}): Record<string, string> {
	const env: Record<string, string> = {...process.env} as Record<string, string>;
	for (const [name, value] of Object.entries(changes)) {
		if (value === undefined) delete env[name];
		else env[name] = argument(WHERE, `the variable ${name} of env`, value, string);
	}
	return env;
}

function notStarted(name: string, {code, message}: {readonly code?: string | undefined; readonly message: string}, cwd: string): FaenaError {
	return new FaenaError('CommandNotStarted', `${name} can't be started: ${whyNotStarted(code, message, cwd)}`);
}

function whyNotStarted(code: string | undefined, message: string, cwd: string): string {
	const folder = statSync(cwd, {throwIfNoEntry: false});
	if (!folder?.isDirectory()) return `its working directory ${JSON.stringify(cwd)} ${folder ? 'is not a directory' : 'does not exist'}.`;
	switch (code) {
		case 'ENOENT':
			return 'there is no such file, or its interpreter is missing. A name without a slash is looked for in the folders of PATH.';
		case 'EACCES':
			return 'this user may not execute the file, or enter the working directory.';
		case 'E2BIG':
			return 'its arguments and environment are longer than the system allows. Pass them as input, or in a file.';
		case 'EMFILE':
		case 'EAGAIN':
		case 'ENOMEM':
			return `the system has no room for another process (${code}). Run fewer at a time.`;
		default:
			return message;
	}
}

/** The program `nice`, which gives a command its priority, could not start it. */
function isRefusalOfNice({exitCode}: {readonly exitCode: number | null}, stderr: string): boolean {
	return (exitCode === 126 || exitCode === 127) && stderr.startsWith('nice: ');
}

/** The last line of stderr, which usually says why. */
function sayingOf(stderr: string): string {
	const last = stderr.trimEnd().split('\n').at(-1)?.trim() ?? '';
	return last === '' ? '.' : `: ${last.slice(0, MAX_MESSAGE_CHARACTERS)}`;
}

/** Nobody knows which command ended the spawner. So its jobs are put off, uncharged, at most nine times, by random times: they rarely meet again. */
function lost(name: string, execution: number): FaenaError {
	const afterMs = Math.floor(Math.random() * 1000 * Math.min(2 ** (execution - 1), 60));
	const error = failed(`${name} was killed, since the process that starts commands was ended.`, {exitCode: null, signal: 'SIGKILL'}, '');
	return Object.assign(error, execution < 10 && {[DECISION]: {afterMs}});
}

function failed(message: string, {exitCode, signal}: {readonly exitCode: number | null; readonly signal: string | null}, stderr: string): FaenaError {
	return Object.assign(new FaenaError('CommandFailed', message), {exitCode, signal, stderr: stderr.slice(-MAX_ERROR_CHARACTERS)});
}

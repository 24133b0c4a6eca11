import type {Size} from '../checks.ts';

/** Options of `ctx.exec()`. @example const options: ExecOptions = {cwd: folder, nice: 10}; */
export interface ExecOptions<Encoding extends 'utf8' | 'buffer' = 'utf8' | 'buffer'> {
	/** Its working directory; default: that of the worker. */
	readonly cwd?: string;
	/** Changes to the worker's environment; `undefined` removes a variable. */
	readonly env?: Readonly<Record<string, string | undefined>>;
	/** Its stdin; default: empty. */
	readonly input?: string | Uint8Array;
	/** Its priority, from 19 (lowest) to -20; default: that of the engine's workers, `open({nice})`. Only a privileged user may go below 0. */
	readonly nice?: number;
	/** Default false. If true, `file` is a command line for `/bin/sh`, in which the arguments are `"$1"`, `"$2"` …; on Windows for cmd.exe, without arguments. */
	readonly shell?: boolean;
	/** Default true: it rejects if the exit code is not 0, or a signal has ended the command. */
	readonly reject?: boolean;
	/** The most bytes of stdout, and of stderr, that are kept: a number, or a text such as `'64kib'`; default 1 MiB. */
	readonly maxOutput?: Size;
	/** Default `'utf8'`: stdout and stderr are texts. */
	readonly encoding?: Encoding;
	/** Whether the lines of stdout and stderr go into the job's log; default true, for `encoding: 'buffer'` false. */
	readonly log?: boolean;
	/**
	 * Gets all output as it comes, in parts of at most 64 KiB. While a promise that it returned is open, the command's output waits. If it throws or
	 * rejects, the command is killed, and `exec` rejects with that error.
	 */
	onOutput?(part: Buffer, stream: 'stdout' | 'stderr'): void | Promise<void>;
}

/** How a command of `ctx.exec()` ended. @example const {exitCode, stderr}: ExecResult = await ctx.exec('make', [], {reject: false}); */
export interface ExecResult<Output = string> {
	/** `null` if a signal has ended it. */
	readonly exitCode: number | null;
	/** Such as `'SIGKILL'`; `null` if it ended by itself. */
	readonly signal: string | null;
	/** The first `maxOutput` bytes. */
	readonly stdout: Output;
	/** The last `maxOutput` bytes. */
	readonly stderr: Output;
	/** How many bytes were dropped: of the end of stdout, and of the beginning of stderr. */
	readonly cut: {readonly stdout: number; readonly stderr: number};
}

import {Worker, type WorkerOptions} from 'node:worker_threads';

/**
 * Options of Node's that say where this program's own text is and how it is run. A thread or child process that gets them runs
 * another text, opens the debugger's port a second time, or is refused by Node.
 */
const OWN = /^(-e|-p|-pe|-i|-c|--(eval|print|interactive|check|input-type|entry-url|inspect\S*|test|test-\S*|watch|watch-\S*))(=|$)/;

/** What this process was started with, without what is for it alone. */
export function inheritedArgs(args: readonly string[] = process.execArgv): string[] {
	let isOwn = false;
	return args.filter(arg => {
		// What doesn't begin with a hyphen is the value of the option before it.
		if (arg.startsWith('-')) isOwn = OWN.test(arg);
		return !isOwn;
	});
}

/**
 * Starts a thread under the options of Node's that this process has. It inherits them, but for `--input-type`: Node refuses that
 * one for a thread whose text is a file, so the others are named to it, as far as a thread can have them.
 */
export function startThread(file: URL, options: WorkerOptions): Worker {
	if (!process.execArgv.some(arg => arg.startsWith('--input-type'))) return new Worker(file, options);
	const args = inheritedArgs();
	try {
		return new Worker(file, {...options, execArgv: args});
	} catch (error) {
		const refused = refusedArgs(error);
		return new Worker(file, {...options, execArgv: args.filter(arg => !refused.includes(arg))});
	}
}

/** Those of the options that Node refused a thread; throws any other error. */
export function refusedArgs(error: unknown): string[] {
	const {code, message} = error as NodeJS.ErrnoException;
	const [, list] = (code === 'ERR_WORKER_INVALID_EXEC_ARGV' && /flags: (.*)$/s.exec(message)) || [];
	if (list === undefined) throw error;
	return list.split(', ');
}

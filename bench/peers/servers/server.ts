import {type ChildProcess, spawn} from 'node:child_process';
import {basename} from 'node:path';

/** A running server for the peers. */
export interface Server {
	/** Where its clients find it. */
	readonly url: string;
	readonly pid: number;
	stop(): Promise<void>;
}

export interface Command {
	readonly program: string;
	readonly words: readonly string[];
	readonly env?: Readonly<Record<string, string>>;
	/** The user who runs it, if it refuses to run as root. */
	readonly user?: {readonly uid: number; readonly gid: number};
	/** The text that it prints when it takes clients. */
	readonly ready: RegExp;
	/** The signal for a clean shutdown. */
	readonly signal: NodeJS.Signals;
	readonly url: string;
}

const START_MS = 30_000;

/** Starts a server in the foreground, as a child of this process, and waits until it takes clients. */
export async function startServer({program, words, env, user, ready, signal, url}: Command): Promise<Server> {
	const child = spawn(program, words, {env: {...process.env, ...env}, ...user, stdio: ['ignore', 'pipe', 'pipe']});
	const ended = new Promise<void>(resolve => child.once('close', () => resolve()));
	// In case this process ends without stopping it.
	const kill = () => void child.kill('SIGKILL');
	process.once('exit', kill);
	await isReady(child, basename(program), ready);
	return {
		url,
		pid: child.pid as number,
		async stop() {
			process.off('exit', kill);
			child.kill(signal);
			await ended;
		},
	};
}

function isReady(child: ChildProcess, program: string, ready: RegExp): Promise<void> {
	return new Promise((resolve, reject) => {
		let printed = '';
		const timer = setTimeout(() => child.kill('SIGKILL'), START_MS);
		const listen = (text: Buffer) => {
			printed = `${printed}${text}`.slice(-2000);
			if (ready.test(printed)) settle(resolve);
		};
		const settle = (then: () => void) => {
			clearTimeout(timer);
			child.stdout?.off('data', listen).resume();
			child.stderr?.off('data', listen).resume();
			then();
		};
		child.stdout?.on('data', listen);
		child.stderr?.on('data', listen);
		child.once('error', error => settle(() => reject(new Error(`${program} can't be started: ${error.message}`))));
		child.once('close', () => settle(() => reject(new Error(`${program} ended before it was ready: ${printed.trim().split('\n').at(-1)}`))));
	});
}

import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {constants} from 'node:os';

/**
 * Runs a program, kills it with SIGKILL at a random moment, and starts it again, `kills` times. Then lets it end by itself.
 * @param args of Node: the program's file and its own arguments
 * @param withinMs each kill comes at most this long after a start; a program that ended before it is not started again
 * @returns how often it was killed, and its exit code as in a shell
 */
export async function killOften(
	args: readonly string[],
	kills: number,
	withinMs: number,
	env: Readonly<Record<string, string>> = {},
): Promise<{readonly killed: number; readonly code: number}> {
	for (let killed = 0; ; killed++) {
		const program = spawn(process.execPath, [...process.execArgv, ...args], {stdio: 'inherit', env: {...process.env, ...env}});
		const stop = (signal: NodeJS.Signals) => void program.kill(signal);
		for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
		const timer = killed < kills ? setTimeout(() => program.kill('SIGKILL'), Math.random() * withinMs) : undefined;
		const [code, signal] = (await once(program, 'close')) as [number | null, NodeJS.Signals | null];
		clearTimeout(timer);
		for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop);
		if (signal !== 'SIGKILL') return {killed, code: code ?? 128 + constants.signals[signal as NodeJS.Signals]};
		console.error(`Killed ${killed + 1} of ${kills} times.`);
	}
}

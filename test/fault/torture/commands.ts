import {readdirSync, readFileSync} from 'node:fs';

/** What the task `command` runs: a shell with a command in the background and one it waits for, for far longer than its job may take. */
export function commandLine(mark: string): string {
	return `sleep ${mark} & sleep ${mark}`;
}

/** An argument of `sleep` that no other job has: some 30 seconds, so that what is left behind goes away by itself. */
export function makeMark(pid: number, number: number): string {
	return `30.${pid}${String(number).padStart(5, '0')}`;
}

/** A command that is running, and where the program whose task runs it writes the steps of its tasks. */
export interface Command {
	readonly pid: number;
	readonly steps: string;
}

/** Commands that are running, as the system has them; none on a system without `/proc`. */
export function runningCommands(is: (command: Command & {readonly mark: string}) => boolean): Command[] {
	return processes().flatMap(pid => {
		const [command, mark = ''] = read(pid, 'cmdline');
		const steps = read(pid, 'environ').find(variable => variable.startsWith(STEPS));
		if (command !== 'sleep' || steps === undefined) return [];
		const found = {pid, steps: steps.slice(STEPS.length)};
		return is({...found, mark}) ? [found] : [];
	});
}

const STEPS = 'STEPS=';

function processes(): number[] {
	try {
		return readdirSync('/proc').map(Number).filter(Number.isInteger);
	} catch {
		return [];
	}
}

/** One that has ended meanwhile has nothing to say. */
function read(pid: number, what: 'cmdline' | 'environ'): string[] {
	try {
		return readFileSync(`/proc/${pid}/${what}`, 'utf8').split('\0');
	} catch {
		return [];
	}
}

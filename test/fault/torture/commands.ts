import {readdirSync, readFileSync} from 'node:fs';

/** What the task `command` runs: a shell with a command in the background and one it waits for, for far longer than its job may take. */
export function commandLine(mark: string): string {
	return `sleep ${mark} & sleep ${mark}`;
}

/** An argument of `sleep` that no other job has: some 30 seconds, so that what is left behind goes away by itself. */
export function makeMark(pid: number, number: number): string {
	return `30.${pid}${String(number).padStart(5, '0')}`;
}

/**
 * Commands that are running, as the system has them: those with this mark, or those of tasks that write their steps there.
 * @returns process ids; none on a system without `/proc`
 */
export function runningCommands({mark, steps}: {readonly mark?: string; readonly steps?: string}): number[] {
	return processes().filter(pid => {
		const [command, argument] = read(pid, 'cmdline');
		if (command !== 'sleep') return false;
		return mark === undefined ? read(pid, 'environ').includes(`STEPS=${steps}`) : argument === mark;
	});
}

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

/** The tasks module of `faena map --sh`. A worker loads it with the command in its environment. */

import {env} from 'node:process';
import {PermanentError} from '../job/task-errors.ts';
import {defineTasks} from '../job/task-module.ts';
import {SHELL_COMMAND_VARIABLE, type ShellCommand, type ShellPayload} from './shell-command.ts';
import {type Command, fill} from './template/template.ts';

/** What the task needs of its context. */
interface CommandContext {
	/** Which of the jobs at a time it is, from 1. */
	readonly slot: number;
	exec(file: string, args: readonly string[]): Promise<Ended>;
}

interface Ended {
	readonly exitCode: number | null;
	readonly signal: string | null;
	readonly stdout: Uint8Array;
	readonly stderr: Uint8Array;
}

const {task, template} = JSON.parse(env[SHELL_COMMAND_VARIABLE] ?? '') as ShellCommand;
// The commands need not have it.
delete env[SHELL_COMMAND_VARIABLE];

export const tasks = defineTasks(import.meta.url, {[task]: run});

async function run(payload: ShellPayload, context: CommandContext): Promise<{readonly exitCode: number; readonly stdout: string; readonly stderr: string}> {
	const {file, args} = commandFor(payload, context.slot);
	const {exitCode, signal, ...output} = await context.exec(file, args);
	const [stdout, stderr] = [Buffer.from(output.stdout).toString(), Buffer.from(output.stderr).toString()];
	if (exitCode === 0) return {exitCode, stdout, stderr};
	throw new Error(`The command ended with ${exitCode === null ? signal : `exit code ${exitCode}`}${stderr === '' ? '' : `: ${stderr.trimEnd()}`}`);
}

/** A value that can't be put into the command is the same in each attempt. */
function commandFor([item, sequence = 0]: ShellPayload, slot: number): Command {
	try {
		return fill(template, item, {sequence, slot});
	} catch (error) {
		throw new PermanentError((error as Error).message, {cause: error});
	}
}

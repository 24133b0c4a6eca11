/** What `faena map --sh` tells its workers. The command comes from today's command line. No row of the queue has it: rows have values alone. */

import {hash} from 'node:crypto';
import {extname} from 'node:path';
import type {Shape} from './template/replacement.ts';
import {parseTemplate, type Template} from './template/template.ts';

/** The variable of the environment by which workers get a {@link ShellCommand} as JSON. */
export const SHELL_COMMAND_VARIABLE = 'FAENA_SHELL_COMMAND';

/** The tasks module of `--sh`. */
export const SHELL_TASK = new URL(`./shell-task${extname(import.meta.url)}`, import.meta.url);

export interface ShellCommand {
	/** The name of the task that runs it. Each command has its own, so that no engine runs the jobs of another command. */
	readonly task: string;
	readonly template: Template;
}

/** The payload of a job: the values of its item, and for `{#}` the item's place. A row of another version may have anything. */
export type ShellPayload = readonly [item: unknown, sequence?: number];

/** @throws FaenaError `BadOption` */
export function parseShellCommand(text: string, shape: Shape): ShellCommand {
	const name = hash('sha256', JSON.stringify([text, shape.kind]), 'hex').slice(0, 12);
	return {task: `sh-${name}`, template: parseTemplate(text, shape)};
}

export function shellPayload({template}: ShellCommand, {payload, sequence}: {readonly payload: unknown; readonly sequence: number}): ShellPayload {
	return template.hasSequence ? [payload, sequence] : [payload];
}

/** What `faena map --sh` tells its workers. The command comes from today's command line. No row of the queue has it: rows have values alone. */

import {hash} from 'node:crypto';
import {extname} from 'node:path';
import type {Shape} from '../template/replacement.ts';
import {parseTemplate, type Template} from '../template/template.ts';

/** The variable of the environment by which workers get a {@link ShellCommand} as JSON. */
export const SHELL_COMMAND_VARIABLE = 'FAENA_SHELL_COMMAND';

/** The tasks module of `--sh`. */
export const SHELL_TASK = new URL(`./shell-task${extname(import.meta.url)}`, import.meta.url);

/** How commands run, as flags say. */
export interface ShellFlags {
	readonly workdir?: string | undefined;
	/** The folder for the outputs of all commands. */
	readonly results?: string | undefined;
	/** The folder for outputs that are more than jobs keep, until they are printed. */
	readonly unprinted?: string | undefined;
	/** Whether a line of output is printed as soon as it is whole. */
	readonly lineBuffer?: true | undefined;
	/** Whether each line of output begins with the item. */
	readonly tag?: true | undefined;
	readonly memory?: number | undefined;
}

export interface ShellCommand extends ShellFlags {
	/** The name of the task that runs it. Each run has its own, so that no engine runs the jobs of another one. */
	readonly task: string;
	readonly template: Template;
}

/** The payload of a job: the values of its item, and for `{#}` the item's place. A row of another version may have anything. */
export type ShellPayload = readonly [item: unknown, sequence?: number];

/** The result of a command that ended with the exit code 0. */
export interface ShellResult {
	readonly exitCode: 0;
	/** A text, or bytes that are none. */
	readonly stdout: string | Uint8Array;
	readonly stderr: string | Uint8Array;
	/** How many bytes were dropped, if some were: of the end of stdout, and of the beginning of stderr. */
	readonly cut?: {readonly stdout: number; readonly stderr: number};
}

/** The fields of the error of a command that failed. */
export interface ShellFailure extends Omit<ShellResult, 'exitCode'> {
	/** `null` if a signal has ended it. */
	readonly exitCode: number | null;
	readonly signal: string | null;
}

/** @param run its batch and folder: no engine runs the jobs of another run, which may print elsewhere. @throws FaenaError `BadOption` */
export function parseShellCommand(text: string, shape: Shape, flags: ShellFlags = {}, run: readonly string[] = []): ShellCommand {
	const name = hash('sha256', JSON.stringify([text, shape.kind, ...run]), 'hex').slice(0, 12);
	return {...flags, task: `sh-${name}`, template: parseTemplate(text, shape)};
}

export function shellPayload({template}: ShellCommand, {payload, sequence}: {readonly payload: unknown; readonly sequence: number}): ShellPayload {
	return template.hasSequence ? [payload, sequence] : [payload];
}

/** An item's values, for people: on one line, with spaces between. */
export function describeItem(item: unknown): string {
	const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
	return Array.isArray(item) ? item.map(text).join(' ') : text(item);
}

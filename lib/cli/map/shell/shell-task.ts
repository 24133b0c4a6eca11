/** The tasks module of `faena map --sh`. A worker loads it with the command in its environment. */

import {isUtf8} from 'node:buffer';
import {env} from 'node:process';
import {defineTasks, type ExecResult, task as makeTask, PermanentError, type TaskContext} from '../../../internal/words.ts';
import {type Command, fill} from '../template/template.ts';
import {MAX_KEPT_BYTES, outputPaths, WholeOutput} from './output-files.ts';
import {describeItem, SHELL_COMMAND_VARIABLE, type ShellCommand, type ShellFailure, type ShellPayload, type ShellResult} from './shell-command.ts';
import {bothOf, STREAMS} from './streams.ts';
import {LineWriter} from './tagged-lines.ts';

const command = JSON.parse(env[SHELL_COMMAND_VARIABLE] ?? '') as ShellCommand;
const {task, template, workdir, results, lineBuffer, tag, memory} = command;
// The commands need not have it.
delete env[SHELL_COMMAND_VARIABLE];

export const tasks = defineTasks(import.meta.url, {[task]: makeTask(run, {version: '1', ...(memory !== undefined && {memory})})});

/** The most bytes of the outputs that are kept with a job that failed, as JSON: an error has room for 16 KiB. */
const MAX_FAILED_BYTES = 12 * 1024;

async function run([item, sequence = 0]: ShellPayload, {slot, exec, job}: TaskContext): Promise<ShellResult> {
	const {file, args} = commandFor(item, {sequence, slot});
	const paths = outputPaths(command, item, job.id);
	const whole = paths && bothOf(stream => new WholeOutput(paths[stream], results === undefined));
	const lines = lineBuffer && bothOf(stream => new LineWriter(stream, tag && describeItem(item)));
	let cut: ShellResult['cut'];
	try {
		const ended = await exec(file, args, {
			...{cwd: workdir ?? '.', reject: false, encoding: 'buffer', log: true, maxOutput: MAX_KEPT_BYTES},
			onOutput(part, stream) {
				whole?.[stream].add(part);
				return lines?.[stream].add(part);
			},
		});
		const {exitCode, signal} = ended;
		const kept = keptOf(ended);
		cut = kept.cut;
		if (exitCode === 0) return {exitCode, ...kept};
		const how = exitCode === null ? `was ended by ${signal}` : `ended with exit code ${exitCode}`;
		throw Object.assign(new Error(`The command ${how}${lastLine(ended.stderr)}`), {exitCode, signal, ...kept} satisfies ShellFailure);
	} finally {
		for (const stream of STREAMS) {
			whole?.[stream].end((cut?.[stream] ?? 0) > 0);
			lines?.[stream].end();
		}
	}
}

/** A value that can't be put into the command is the same in each attempt. */
function commandFor(item: unknown, numbers: {readonly sequence: number; readonly slot: number}): Command {
	try {
		return fill(template, item, numbers);
	} catch (error) {
		throw new PermanentError((error as Error).message, {cause: error});
	}
}

/** A text has no NULs, which take six times their size in JSON. */
function textOf(bytes: Buffer): string | Uint8Array {
	return isUtf8(bytes) && !bytes.includes(0) ? bytes.toString() : new Uint8Array(bytes);
}

/** What the job keeps: all that there is; of a command that failed, as much of the end of both as an error has room for, as JSON. */
function keptOf({exitCode, stdout, stderr, cut}: ExecResult<Buffer>): Omit<ShellResult, 'exitCode'> {
	let [out, err] = [stdout, stderr];
	while (exitCode !== 0 && Buffer.byteLength(JSON.stringify([textOf(out), textOf(err)])) > MAX_FAILED_BYTES) {
		if (out.length > err.length) out = out.subarray(Math.ceil(out.length / 2));
		else err = err.subarray(Math.ceil(err.length / 2));
	}
	const dropped = {stdout: cut.stdout + stdout.length - out.length, stderr: cut.stderr + stderr.length - err.length};
	return {stdout: textOf(out), stderr: textOf(err), ...(dropped.stdout + dropped.stderr > 0 && {cut: dropped})};
}

const MAX_MESSAGE_CHARACTERS = 200;

/** It usually says why the command failed. */
function lastLine(stderr: Buffer): string {
	const last = stderr.toString().trimEnd().split('\n').at(-1) ?? '';
	return last === '' ? '.' : `: ${last.slice(0, MAX_MESSAGE_CHARACTERS)}`;
}

/** The tasks module of `faena map --sh`. A worker loads it with the command in its environment. */

import {isUtf8} from 'node:buffer';
import {env} from 'node:process';
import {defineTasks, task as makeTask, PermanentError, type TaskContext} from '../../../internal/words.ts';
import {type Command, fill} from '../template/template.ts';
import {type CommandOutput, outputFiles} from './output-files.ts';
import {describeItem, SHELL_COMMAND_VARIABLE, type ShellCommand, type ShellFailure, type ShellPayload, type ShellResult} from './shell-command.ts';
import {SpilledOutput} from './spilled-output.ts';
import {LineWriter} from './tagged-lines.ts';

const {task, template, workdir, results, spill, lineBuffer, tag, memoryBytes} = JSON.parse(env[SHELL_COMMAND_VARIABLE] ?? '') as ShellCommand;
// The commands need not have it.
delete env[SHELL_COMMAND_VARIABLE];

export const tasks = defineTasks(import.meta.url, {[task]: makeTask(run, {version: '1', ...(memoryBytes !== undefined && {memoryBytes})})});

/** The most bytes of an output that are kept with the job. */
const MAX_OUTPUT = '4mib';
/** The most bytes of the outputs that are kept with a job that failed, as JSON: an error has room for 16 KiB. */
const MAX_FAILED_BYTES = 12 * 1024;

async function run([item, sequence = 0]: ShellPayload, {slot, exec, job}: TaskContext): Promise<ShellResult> {
	const {file, args} = commandFor(item, {sequence, slot});
	const outputs = outputsFor(item, job.id);
	let isCut = false;
	const options = {
		...(workdir !== undefined && {cwd: workdir}),
		onOutput: (part: Buffer, stream: 'stdout' | 'stderr') => {
			const busy = outputs.flatMap(each => each.add(part, stream) ?? []);
			if (busy.length > 0) return Promise.all(busy).then(() => undefined);
			return undefined;
		},
	};
	try {
		const {exitCode, signal, stdout, stderr, cut} = await exec(file, args, {reject: false, encoding: 'buffer', log: true, maxOutput: MAX_OUTPUT, ...options});
		isCut = cut.stdout + cut.stderr > 0;
		if (exitCode === 0) return {exitCode, stdout: textOf(stdout), stderr: textOf(stderr), ...(isCut && {cut})};
		const kept = fitting(stdout, stderr, cut);
		isCut = kept.cut !== undefined;
		throw Object.assign(new Error(`The command ${exitCode === null ? `was ended by ${signal}` : `ended with exit code ${exitCode}`}${lastLine(stderr)}`), {
			...{exitCode, signal},
			...kept,
		} satisfies ShellFailure);
	} finally {
		for (const each of outputs) each.end(isCut);
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

/** Where the output goes as it comes. */
function outputsFor(item: unknown, jobId: number): readonly CommandOutput[] {
	const label = tag ? describeItem(item) : undefined;
	const files = results === undefined ? [] : [outputFiles(results, item)];
	const spilled = spill === undefined ? [] : [new SpilledOutput(spill, jobId)];
	return [...files, ...spilled, ...(lineBuffer ? [new LineWriter(label)] : [])];
}

/** A text has no NULs, which take six times their size in JSON. */
function textOf(bytes: Buffer): string | Uint8Array {
	return isUtf8(bytes) && !bytes.includes(0) ? bytes.toString() : new Uint8Array(bytes);
}

/** As much of the end of both as an error has room for, as JSON. */
function fitting(stdout: Buffer, stderr: Buffer, cut: {readonly stdout: number; readonly stderr: number}): Pick<ShellFailure, 'stdout' | 'stderr' | 'cut'> {
	let [out, err] = [stdout, stderr];
	while (Buffer.byteLength(JSON.stringify([textOf(out), textOf(err)])) > MAX_FAILED_BYTES) {
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

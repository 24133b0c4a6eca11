/** The tasks of pairs in threads and processes. They find their files in the folder that `PAIR` names. */
import {appendFileSync, existsSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {task} from '../../lib/job/task/make-task.ts';
import type {TaskContext} from '../../lib/job/task/task.ts';

const path = (name: string) => join(process.env['PAIR'] as string, name);
const note = (line: string) => appendFileSync(path('ran'), `${line}\n`);

export function echo(value: unknown): unknown {
	note(`echo ${JSON.stringify(value)}`);
	return value;
}

export function got(_: unknown, {results}: TaskContext): readonly unknown[] {
	return results;
}

export function pid(): number {
	return process.pid;
}

/** Fails until the file `open` is there. */
export function gate(value: unknown): unknown {
	note(`gate ${JSON.stringify(value)}`);
	if (!existsSync(path('open'))) throw new Error('the gate is closed');
	return value;
}

/** Waits for the file of this name. */
export async function hold(name: string, {signal}: TaskContext): Promise<string> {
	note(`hold ${name}`);
	while (!existsSync(path(name))) {
		if (signal.aborted) throw signal.reason;
		await sleep(2);
	}
	return name;
}

/** Notes when it begins and ends: `+` and `-`. */
async function overlap(name: string): Promise<string> {
	note(`+${name}`);
	await sleep(3);
	note(`-${name}`);
	return name;
}

export const one = task(overlap, {concurrency: 1});

/** Loops, deaf, unless its payload is a number. */
export function deaf(value: unknown): unknown {
	note(`deaf ${JSON.stringify(value)}`);
	while (typeof value !== 'number');
	return value;
}

/** Makes a checkpoint in its first execution, and ends badly, as told. Then it returns where it could go on. */
export function save(end: 'die' | 'loop' | 'throw', {checkpoint, resumeFrom}: TaskContext<{state: number}>): number {
	note(`save from ${resumeFrom ?? 0}`);
	if (resumeFrom !== undefined) return resumeFrom;
	checkpoint(5);
	if (end === 'throw') throw new Error('at five');
	while (end === 'loop' || !existsSync(path('die')));
	process.kill(process.pid, 'SIGKILL');
	return 0;
}

export async function command(line: string, {exec}: TaskContext): Promise<string> {
	return (await exec(line, [], {shell: true, cwd: process.env['PAIR'] as string})).stdout;
}

/** Ends its worker if asked to. */
export function crash(value: unknown): unknown {
	note(`crash ${JSON.stringify(value)}`);
	if (value === 'crash') process.exit(3);
	return value;
}

export function big({of, bytes}: {readonly of: string; readonly bytes: number}): string {
	note(`big ${of}`);
	return of.repeat(bytes);
}

export function tell({batch, counts}: {readonly batch: string; readonly counts: object}): object {
	note(`tell ${batch}`);
	return counts;
}

export function make(makes: readonly (readonly [string, unknown?, object?])[], context: TaskContext): void {
	for (const each of makes) context.enqueue(...each);
}

/** Says how many it gets at once. */
export const micro = task((values: readonly unknown[]) => values.map(() => values.length), {batchSize: 8});

/** As {@link micro}; it loops for ever with what is not a number. */
export const microDeaf = task(
	(values: readonly unknown[]) => {
		note(`micro ${JSON.stringify(values)}`);
		while (values.some(value => typeof value !== 'number'));
		return values;
	},
	{batchSize: 8, timeout: 100},
);

/** As {@link micro}, with a full call at a time. */
export const microOne = task(
	async (values: readonly unknown[]) => {
		note(`+${values.length}`);
		await sleep(10);
		note('-');
		return values;
	},
	{batchSize: 8, concurrency: 8},
);

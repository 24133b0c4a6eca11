/** The tasks of the torture. Each says in a file what it does before it does it. */
import {execFile, execFileSync} from 'node:child_process';
import {openSync, writeSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import {promisify} from 'node:util';
import {type TaskContext, task} from '../../../lib/index.ts';
import {commandLine} from './commands.ts';
import {childOf, type Payload, type Step, steadyMs, stepsFile, tokenOf} from './history.ts';

const steps = openSync(stepsFile(process.env['STEPS'] as string), 'a');

/** Keeps its thread as if it computed, but leaves the processor to others: what is tested is what dies, not how much is done by then. */
export function compute(payload: Payload, context: TaskContext): string {
	const step = begin('compute', payload, context);
	Atomics.wait(NEVER, 0, 0, payload.ms ?? 0);
	return finish(step, payload, context);
}

const NEVER = new Int32Array(new SharedArrayBuffer(4));

/** Waits, and keeps checkpoints. */
export const wait = task(
	async (payload: Payload, context: TaskContext): Promise<string> => {
		const step = begin('wait', payload, context);
		context.progress(1, 2);
		context.checkpoint({execution: context.job.execution});
		context.log('waits');
		await sleep(payload.ms ?? 0);
		return finish(step, payload, context);
	},
	{priority: 1},
);

/** Makes another job, whose token is its own with an ending. */
export function make(payload: Payload, context: TaskContext): string {
	const step = begin('make', payload, context);
	const token = childOf(payload.token);
	context.enqueue('compute', {token}, {key: token, delay: Math.random() * 20});
	return finish(step, payload, context);
}

/** Is enqueued when a batch completes. */
export function batchCompleted({batch}: {batch: string}, context: TaskContext): string {
	const payload = {token: `${batch}/completed`};
	return finish(begin('batchCompleted', payload, context), payload, context);
}

/** Is paused now and then. */
export function pausable(payload: Payload, context: TaskContext): string {
	return finish(begin('pausable', payload, context), payload, context);
}

/** Runs commands, with and without blocking its thread, until it is stopped. */
export async function command(payload: Payload, context: TaskContext): Promise<string> {
	const step = begin('command', payload, context);
	const shell = ['-c', commandLine(payload.mark as string)] as const;
	if (context.job.id % 2 === 0) execFileSync('sh', shell);
	else await promisify(execFile)('sh', shell);
	return finish(step, payload, context);
}

/** Gets the results of its parents. */
export function gather(payload: Payload, context: TaskContext): string {
	return finish(begin('gather', payload, context), payload, context);
}

/** The second stage of a pipe: gets what the first one returned. */
export function second(value: string, context: TaskContext): string {
	const payload = {token: `${tokenOf(value)}/second`, parents: [value], of: [tokenOf(value)]};
	return finish(begin('second', payload, context), payload, context);
}

/** Runs each second. */
export function moment(_: null, context: TaskContext): string {
	const at = context.job.scheduledAt ?? 0;
	const payload = {token: `moment ${at}`};
	return finish(begin('moment', payload, context), payload, context);
}

/** Several at once. */
export const many = task(
	(payloads: readonly Payload[], contexts: readonly TaskContext[]): string[] => {
		const begun = payloads.map((payload, index) => begin('many', payload, contexts[index] as TaskContext));
		return payloads.map((payload, index) => finish(begun[index] as Write, payload, contexts[index] as TaskContext));
	},
	{batchSize: 5},
);

type Write = (step: Step['step'], more?: Partial<Step>) => void;

function begin(name: string, payload: Payload, {job: {id, execution, scheduledAt}, resumeFrom}: TaskContext): Write {
	const write: Write = (step, more) => {
		const line: Step = {
			at: steadyMs(),
			wall: Date.now(),
			pid: process.pid,
			step,
			task: name,
			id,
			execution,
			payload,
			...(scheduledAt && {moment: scheduledAt}),
			...more,
		};
		writeSync(steps, `${JSON.stringify(line)}\n`);
	};
	const from = (resumeFrom as {execution: number} | undefined)?.execution;
	write('start', from === undefined ? {} : {from});
	return write;
}

function finish(write: Write, {token, fails, times = 1, bulk = 0}: Payload, {job: {attempts, execution}}: TaskContext): string {
	if (fails && attempts < times) {
		write(fails);
		if (fails === 'exits') process.exit(1);
		throw new Error(`attempt ${attempts}`);
	}
	const value = `${token}#${execution}${'.'.repeat(bulk)}`;
	write('returns', {value});
	return value;
}

/**
 * The tasks of all subjects. Faena finds them by name; pools call the default export. A payload has the job's number and its rounds
 * of work. A result is this number plus what the kernel returns, so that the sum of all results shows whether each job ran once.
 */

import type {TaskContext} from '../../lib/index.ts';
import {FAILING_EVERY, type TaskName} from '../plan/suite.ts';
import {sharedMs} from './clock.ts';
import {KERNELS} from './kernels.ts';

export type Job = readonly [number: number, rounds: number];

export function identity(number: number): number {
	return number;
}

export function spin([number, rounds]: Job): number {
	return number + KERNELS.spin(rounds);
}

export function sha256([number, rounds]: Job): number {
	return number + KERNELS.sha256(rounds);
}

export function json([number, rounds]: Job): number {
	return number + KERNELS.json(rounds);
}

export function wait([number, rounds]: Job): number {
	return number + KERNELS.wait(rounds);
}

/** For fan-ins in `bench/shapes.ts`. */
export function count(values: readonly number[]): number {
	return values.length;
}

/** As `identity`, for the intake `two-tasks`. */
export function other(number: number): number {
	return number;
}

/** As `identity`, but one job in a hundred fails at its first execution, for the intake `failures`. */
export function failing(number: number, {job: {execution}}: TaskContext): number {
	if (number % FAILING_EVERY === 0 && execution === 1) throw new Error('One in a hundred fails');
	return number;
}

/** Returns its payload, for the trial `payloads`. */
export function echo(content: string | Uint8Array): string | Uint8Array {
	return content;
}

/** Returns the job's number, and when it started. */
export function started(number: number): [number: number, atMs: number] {
	return [number, sharedMs()];
}

const TASKS: Readonly<Record<Request['task'], (payload: never) => unknown>> = {identity, spin, sha256, json, wait, echo, started};

export interface Request {
	readonly task: TaskName | 'echo' | 'started';
	readonly payload: unknown;
}

/** Runs one job of a pool, or a chunk of them. */
export default function run({task, payload, chunk}: Request & {readonly chunk?: readonly unknown[]}): unknown {
	const execute = TASKS[task];
	return chunk ? chunk.map(each => execute(each as never)) : execute(payload as never);
}

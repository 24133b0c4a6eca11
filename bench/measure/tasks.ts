/**
 * The tasks of all subjects: Faena looks them up by name, pools run the default export. A job is its number and its rounds
 * of work; what it returns is its number and what the kernel made of the rounds, so that a sum shows what ran, and how often.
 */

import type {TaskName} from '../plan/suite.ts';
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

/** For payloads of any size, whose content is looked at afterwards. */
export function echo(content: string | Uint8Array): string | Uint8Array {
	return content;
}

/** Its number, and when it began. */
export function started(number: number): [number: number, atMs: number] {
	return [number, sharedMs()];
}

const TASKS: Readonly<Record<Request['task'], (payload: never) => unknown>> = {identity, spin, sha256, json, echo};

export interface Request {
	readonly task: TaskName | 'echo';
	readonly payload: unknown;
}

/** For pools: one job, or a chunk of them. */
export default function run({task, payload, chunk}: Request & {readonly chunk?: readonly unknown[]}): unknown {
	const execute = TASKS[task];
	return chunk ? chunk.map(each => execute(each as never)) : execute(payload as never);
}

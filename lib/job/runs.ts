import type {DequeuedJob, Lease} from './claim.ts';
import type {Encoded} from './encoding.ts';
import type {JobId, Policy} from './job.ts';
import type {NewJob} from './new-job.ts';
import type {Settlement} from './outcome.ts';
import {type PackedStrings, unpack} from './packed-strings.ts';
import {PackedTimes} from './packed-times.ts';

// A run stands for many jobs with consecutive ids that are alike, so that they cost little more than one. It means the same as they do one by
// one: whoever can make no use of it expands it.

/** Jobs that share rows at most: what giving them rows of their own may cost at a time. */
export const MAX_RUN_JOBS = 2000;

/** New jobs that differ in their payloads alone, without keys, and in no batch. */
export interface NewRun extends Pick<NewJob, 'task' | 'priority' | 'runAt' | 'policy'> {
	readonly payloads: PackedStrings;
}

/** Jobs that were dequeued for the first time, and differ in their ids and payloads alone. */
export interface DequeuedRun {
	readonly first: JobId;
	readonly task: string;
	readonly createdAt: number;
	readonly policy: Policy;
	readonly payloads: PackedStrings;
}

/** Jobs of a lease whose first executions returned, and enqueue nothing. */
export interface ReturnedRun {
	readonly first: JobId;
	readonly lease: Lease;
	readonly createdAt: number;
	readonly values: PackedStrings;
	/** By `packTimes`. */
	readonly times: Uint8Array;
}

/** One settlement, or many. */
export type Settling = Settlement | ReturnedRun;

export function isNewRun(job: NewJob | NewRun): job is NewRun {
	return 'payloads' in job;
}

export function isDequeuedRun(job: DequeuedJob | DequeuedRun): job is DequeuedRun {
	return 'payloads' in job;
}

export function isReturnedRun(settling: Settling): settling is ReturnedRun {
	return 'values' in settling;
}

export function expandNew(jobs: readonly (NewJob | NewRun)[]): NewJob[] {
	return jobs.flatMap(job => {
		if (!isNewRun(job)) return job;
		const {payloads, ...rest} = job;
		return unpack(payloads).map(payload => ({...rest, payload}));
	});
}

export function expandDequeued(jobs: readonly (DequeuedJob | DequeuedRun)[]): DequeuedJob[] {
	return jobs.flatMap(job => (isDequeuedRun(job) ? unpack(job.payloads).map((payload, index) => toDequeued(job, index, payload)) : job));
}

function toDequeued({first, task, createdAt, policy}: DequeuedRun, index: number, payload: Encoded): DequeuedJob {
	return {id: first + index, task, payload, createdAt, execution: 1, attempts: 0, policy};
}

export function expandSettling(settling: readonly Settling[]): Settlement[] {
	return settling.flatMap(each => (isReturnedRun(each) ? expandReturned(each) : each));
}

function expandReturned({first, lease, createdAt, values, times}: ReturnedRun): Settlement[] {
	const packed = new PackedTimes(times);
	return unpack(values).map((value, index) => {
		const {startedAt, durationMs, cpuMs, memoryBytes} = packed.at(index);
		const known = {
			...(!Number.isNaN(startedAt) && {startedAt, waitMs: Math.max(0, startedAt - createdAt)}),
			...(!Number.isNaN(durationMs) && {durationMs}),
			...(!Number.isNaN(cpuMs) && {cpuMs}),
			...(!Number.isNaN(memoryBytes) && {memoryBytes}),
		};
		return {id: first + index, lease, execution: 1, outcome: {type: 'returned', value, ...known}};
	});
}

/** How many jobs they settle. */
export function countSettling(settling: readonly Settling[]): number {
	return settling.reduce((sum, each) => sum + (isReturnedRun(each) ? each.values.count : 1), 0);
}

/** How many of them ran, and for how long in all. */
export function workOf(settling: readonly Settling[]): {jobs: number; totalMs: number} {
	let [jobs, totalMs] = [0, 0];
	for (const each of settling) {
		if (isReturnedRun(each)) {
			jobs += each.values.count;
			totalMs += new PackedTimes(each.times).column('durationMs').sum();
		} else if (each.outcome.durationMs !== undefined) {
			jobs++;
			totalMs += each.outcome.durationMs;
		}
	}
	return {jobs, totalMs};
}

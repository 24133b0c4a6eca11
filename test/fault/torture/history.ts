import {readdirSync, readFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import type {Command} from './commands.ts';

/** What a program is to do in its life. Each of a campaign's `slots` has one program at a time. */
export interface Round {
	readonly seed: number;
	readonly slot: number;
	/** Of this slot: makes its tokens unlike all others. */
	readonly number: number;
	readonly isolation: 'thread' | 'process';
	readonly cleans: boolean;
	/** Changes its current folder after it has opened the queue. */
	readonly roams: boolean;
	readonly leaseMs: number;
	/** The batch of this slot that its map goes on with. */
	readonly batch: number;
	/** The flow, and the pipe, of this slot that it goes on with. */
	readonly flow: number;
	readonly pipe: number;
	/** Closes its engine after so long; without it only when all is done that was begun. */
	readonly closesAfterMs?: number;
	/** Begins nothing new and ends when everything has. */
	readonly finishes: boolean;
}

/** How long a program that is told to end waits for what runs, and then for what was told to stop. */
export const DRAIN_MS = 100;
export const GRACE_MS = 100;

interface Ended {
	readonly id: number;
	readonly status: string;
	readonly value?: unknown;
}

/** What a program prints: before it asks for something, or once it was told. */
interface Sayings {
	readonly try: {readonly tokens: readonly string[]};
	readonly enqueued: {readonly tokens: readonly string[]; readonly ids: readonly number[]};
	readonly ended: Ended;
	readonly cancelling: {readonly id: number};
	readonly cancelled: {readonly id: number};
	/** Its job was stopped; which of its commands ran on when that was told. */
	readonly stopped: {readonly id: number; readonly left: readonly Command[]};
	readonly retrying: {readonly id: number};
	readonly opened: object;
	readonly paused: object;
	readonly resuming: object;
	readonly cleaning: object;
	readonly item: Ended & {readonly batch: string; readonly key: string};
	readonly mapped: {readonly batch: number};
	/** A flow is in the queue. */
	readonly flowed: {readonly flow: number};
	/** A pipe has come to its end, with these results. */
	readonly piped: {readonly pipe: number; readonly values: readonly string[]};
	readonly closing: object;
	readonly closed: object;
	/** What its engine logged. */
	readonly warned: {readonly message: string};
}

export type What = keyof Sayings;
export type Saying = {[Each in What]: {readonly what: Each} & Sayings[Each]}[What];
/** When, by which of the campaign's programs, and what it said. */
export type Told<Each extends What = What> = {readonly at: number; readonly slot: number; readonly number: number} & Extract<Saying, {what: Each}>;

/** A line that a task wrote: `start` first, and how it will end just before it does. */
export interface Step {
	/** On the machine's steady clock, in milliseconds. */
	readonly at: number;
	/** In milliseconds since 1970. */
	readonly wall: number;
	readonly pid: number;
	readonly step: 'start' | 'returns' | 'throws' | 'exits';
	readonly task: string;
	readonly id: number;
	readonly execution: number;
	readonly payload: Payload;
	/** The execution whose checkpoint it was given. */
	readonly from?: number;
	readonly value?: string;
	/** The moment for which a schedule has enqueued the job, in milliseconds since 1970. */
	readonly moment?: number;
}

export interface Payload {
	/** Names the job among all of its campaign. */
	readonly token: string;
	/** How an execution ends while the job has fewer attempts than `times`. */
	readonly fails?: 'throws' | 'exits';
	readonly times?: number;
	readonly ms?: number;
	/** Not to be started before this time, in milliseconds since 1970. */
	readonly notBefore?: number;
	/** Names its commands, where it runs some. */
	readonly mark?: string;
	/** A command is stopped after this time. */
	readonly timeoutMs?: number;
	/** Makes the result so many characters longer. */
	readonly bulk?: number;
	/** The results of its parents. */
	readonly parents?: readonly string[];
	/** The tokens of its parents. */
	readonly of?: readonly string[];
}

export const steadyMs = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;

const PREFIX = 'steps-';

/** Where the tasks of a process write their steps: a folder for each program. */
export function stepsFile(folder: string): string {
	return join(folder, `${PREFIX}${process.pid}`);
}

/** Processes that wrote steps there. */
export function readWriters(folder: string): number[] {
	return readdirSync(folder).map(name => Number(name.slice(PREFIX.length)));
}

/** All steps of all processes, in order of time. */
export function readSteps(folder: string): Step[] {
	const files = readdirSync(folder, {recursive: true, encoding: 'utf8'}).filter(name => basename(name).startsWith(PREFIX));
	return files.flatMap(name => linesOf(readFileSync(join(folder, name), 'utf8')) as Step[]).sort((a, b) => a.at - b.at);
}

/** Whole lines only: the last one may have been cut off by the end of its writer. */
export function linesOf(text: string): unknown[] {
	return text
		.split('\n')
		.slice(0, -1)
		.map(line => JSON.parse(line) as unknown);
}

/** The token of a job, in what it returned. */
export function tokenOf(value: string): string {
	return value.slice(0, value.lastIndexOf('#'));
}

/** The token of the job that the job of a token makes. */
export function childOf(token: string): string {
	return `${token}/child`;
}

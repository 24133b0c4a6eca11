import type {Command} from 'commander';
import {FaenaError, type FailureRecord, type Job, type LogLine, type PostMortem} from '../index.ts';
import {decode, type Encoded, type JobQueue, type JobValues} from '../queue.ts';
import {count, formatTime, toJson} from './format.ts';
import {lookAtQueue, toId} from './options.ts';
import {print} from './print.ts';

export function addShow(program: Command): void {
	program
		.command('show')
		.summary('show a job with its values, cost, error and log')
		.description('Shows a job with its values, its cost, its error and its log.')
		.argument('<id>', 'id of the job')
		.option('--queue <file>', 'SQLite file of the jobs', 'faena.db')
		.option('--json', 'print one line of JSON, with nothing shortened')
		.action(async (text: string, {queue: file, json}: {readonly queue: string; readonly json?: true}) => {
			const id = toId(text);
			const found = await lookAtQueue(file, queue => look(queue, id));
			if (!found) throw new FaenaError('NoSuchJob', `There is no job ${id} in ${file}; it may have been cleaned up.`);
			await print(json ? `${toJson(plain(found))}\n` : describe(found));
		});
}

interface Found {
	readonly job: Job;
	readonly values: JobValues;
	readonly logs: readonly LogLine[];
}

async function look(queue: JobQueue, id: number): Promise<Found | undefined> {
	const job = await queue.job(id);
	const values = await queue.values(id);
	return job && values && {job, values, logs: await queue.logs(id)};
}

function plain({job, values, logs}: Found): object {
	const {payload, result, checkpoint} = values;
	return {
		...job,
		payload: toReadable(payload),
		result: result === undefined ? undefined : toReadable(result),
		checkpoint: checkpoint && {...checkpoint, state: toReadable(checkpoint.state)},
		logs,
	};
}

/** The value; or, if it can't be read, the reason, so that the rest of the job is shown. */
function toReadable(encoded: Encoded): unknown {
	try {
		return decode(encoded);
	} catch (error) {
		return new Unreadable((error as Error).message);
	}
}

class Unreadable {
	readonly unreadable: string;

	constructor(why: string) {
		this.unreadable = why;
	}
}

/** Lines of the log, or of stderr, that are shown. */
const MAX_LINES = 10;

function describe({job, values, logs}: Found): string {
	const {key, batch, progress, error} = job;
	const {payload, result, checkpoint} = values;
	const rows: readonly (readonly [label: string, text: string | undefined])[] = [
		[`job ${job.id}`, `${job.task}  ${job.status}`],
		['key', key],
		['batch', batch],
		['attempts', `${job.attempts} of ${job.maxAttempts} charged, ${count(job.executions)} execution${job.executions === 1 ? '' : 's'}`],
		['enqueued', time(job.createdAt)],
		['due', time(job.runAt)],
		[
			job.status === 'running' ? 'running' : 'started',
			job.startedAt === undefined ? undefined : `${job.status === 'running' ? 'since ' : ''}${time(job.startedAt)}`,
		],
		['ended', time(job.endedAt)],
		['timeout', job.timeoutPercent === undefined ? (job.timeoutMs === null ? undefined : `${job.timeoutMs / 1000} s`) : `${job.timeoutPercent}% of the median`],
		['progress', progress && describeProgress(progress)],
		['checkpoint', checkpoint && `of execution ${count(checkpoint.execution)} at ${time(checkpoint.at)}\n${value(checkpoint.state)}`],
		['payload', value(payload)],
		['result', result === undefined ? undefined : value(result)],
		['cost', describeCost(job)],
		['error', error && describeError(error)],
		['end', error?.postMortem && describeEnd(error, error.postMortem, checkpoint)],
		['log', logs.length > 0 ? describeLogs(logs) : undefined],
	];
	return rows.flatMap(([label, text]) => (text === undefined ? [] : [`${label.padEnd(INDENT)}${text.replaceAll('\n', `\n${' '.repeat(INDENT)}`)}\n`])).join('');
}

const INDENT = 12;

function time(at: number | undefined): string | undefined {
	return at === undefined ? undefined : formatTime(at);
}

const MAX_VALUE_LENGTH = 400;

function value(encoded: Encoded): string {
	const readable = toReadable(encoded);
	if (readable instanceof Unreadable) return `can't be read: ${readable.unreadable}`;
	const text = toJson(readable);
	return text.length <= MAX_VALUE_LENGTH ? text : `${text.slice(0, MAX_VALUE_LENGTH)}… (${count(text.length)} characters; all with --json)`;
}

function describeCost({waitMs, durationMs, cpuMs, memoryBytes}: Job): string | undefined {
	if (durationMs === undefined) return undefined;
	const parts = [
		waitMs === undefined ? undefined : `waited ${seconds(waitMs)}`,
		`ran ${seconds(durationMs)}`,
		cpuMs === undefined ? undefined : `processor ${seconds(cpuMs)}`,
		memoryBytes === undefined ? undefined : `memory ${megabytes(memoryBytes)}`,
	];
	return parts.filter(part => part !== undefined).join(', ');
}

function describeProgress({done, total, at}: {readonly done: number; readonly total?: number; readonly at: number}): string {
	return `${count(done)}${total === undefined ? '' : ` of ${count(total)}`} at ${time(at)}`;
}

/** Describes the end of a job that was stopped or crashed: how and when it ended, its progress, checkpoint and memory, and its stack. */
function describeEnd({reason, exitCode, signal, stderr}: FailureRecord, postMortem: PostMortem, checkpoint: JobValues['checkpoint']): string {
	const {execution, attempt, startedAt, durationMs, progress, heap, stack, noStack} = postMortem;
	const how = signal === undefined ? exitCode !== undefined && `, exit code ${exitCode}` : `, signal ${signal}`;
	const charged = reason === 'cancelled' ? 'charged nothing' : `attempt ${count(attempt)}`;
	return [
		`${ENDS[reason] ?? reason} in execution ${count(execution)} (${charged})${how || ''}`,
		`ran since ${time(startedAt)}, for ${seconds(durationMs)}`,
		`last progress ${progress ? describeProgress(progress) : 'none'}`,
		`last checkpoint ${checkpoint && checkpoint.execution === execution ? `at ${time(checkpoint.at)}` : 'none'}`,
		heap && `heap ${heap.usedBytes === undefined ? '' : `${megabytes(heap.usedBytes)}, `}limit ${megabytes(heap.limitBytes)}`,
		stack ? `it was here:\n${stack}` : noStack && `where it was isn't known: ${noStack}`,
		stderr && `its last words on stderr:\n${lastLines(stderr)}`,
	]
		.filter(Boolean)
		.join('\n');
}

const ENDS: Partial<Record<FailureRecord['reason'], string>> = {
	timedOut: 'timed out',
	cancelled: 'cancelled while it ran',
	lostWorker: 'took its worker along',
	poison: 'took its worker along, once too often',
};

const MAX_LINE_LENGTH = 200;

/** The last lines, without the stack frames of native code, Faena and Node. */
function lastLines(stderr: string): string {
	const lines = stderr.split('\n').filter(line => line.trim() !== '' && !/^\s*\d+: 0x|^-+ Native stack trace/.test(line) && !isForeign(line));
	const last = lines.slice(-MAX_LINES);
	return last.map(line => (line.length <= MAX_LINE_LENGTH ? line : `${line.slice(0, MAX_LINE_LENGTH)}…`)).join('\n');
}

function seconds(ms: number): string {
	return `${(ms / 1000).toFixed(3)} s`;
}

function megabytes(bytes: number): string {
	return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

function describeError({causes = [], ...error}: FailureRecord): string {
	return [error, ...causes].map(({name, message, stack}) => (stack ? withoutNode(stack) : `${name}: ${message}`)).join('\ncaused by ');
}

const RUNNER = new URL('../worker/runner.', import.meta.url).href;

function withoutNode(stack: string): string {
	const lines = stack.split('\n').filter(line => !isForeign(line));
	return lines.join('\n');
}

/** True for a stack frame of Node or of the code that runs tasks. */
function isForeign(line: string): boolean {
	return line.includes(RUNNER) || /\(?node:(internal\/[\w/]+|async_hooks):\d+:\d+\)?$/.test(line);
}

function describeLogs(logs: readonly LogLine[]): string {
	const last = logs.slice(-MAX_LINES).map(({at, level, text}) => `${time(at)}  ${level === 'info' ? '' : `${level}: `}${text}`);
	const earlier = logs.length - last.length;
	return [...(earlier > 0 ? [`(${earlier} earlier; all with --json)`] : []), ...last].join('\n');
}

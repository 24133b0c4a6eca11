import type {Command} from 'commander';
import type {Job, JobId, LogLine} from '../../index.ts';
import type {PostMortem, Progress} from '../../internal/words.ts';
import {decode, defined, type Encoded, listRanges, type ResultsOfParents} from '../../internal/words.ts';
import type {JobQueue} from '../../queue.ts';
import type {ErrorRecord, ExecutionRecord, FailureRecord, JobRange, JobRecord, JobValues, StoredJob} from '../../store.ts';
import {toId} from '../flags/flag-values.ts';
import {noSuchJob, queueCommand, useQueue} from '../flags/queue-flag.ts';
import {inLine} from '../terminal/controls.ts';
import {count, formatTime, megabytes, print, recordJson, shorten, toJson} from '../terminal/print.ts';
import {describeStale} from './list.ts';

export function addShow(program: Command): void {
	queueCommand(program, 'show')
		.summary('show a job with its values, cost, error and log')
		.description('Shows a job with its values, its cost, its error and its log.')
		.argument('<id>', 'id of the job', toId)
		.option('--json', 'print one line of JSON, with nothing shortened')
		.action(async (id: JobId, {queue: file, json}: {readonly queue: string; readonly json?: true}) => {
			const look = async (queue: JobQueue) => {
				const {jobs} = await queue.store.jobs({ids: [id]}, {}, {values: true, logs: true, history: true, edges: true});
				const [job] = jobs as readonly Found[];
				if (!job) throw noSuchJob(file, id);
				if (json) return `${recordJson(plain(job))}\n`;
				return describe(job, await describeRelatives(queue, job.edges.parents), await describeRelatives(queue, job.edges.children));
			};
			const text = await useQueue(file, look, {readOnly: true});
			// A payload may have words that look like a status.
			const head = json ? 0 : text.indexOf('\n') + 1;
			await print(text.slice(0, head), {hasStatuses: true});
			await print(text.slice(head));
		});
}

/** A job with all that the store has of it. */
type Found = StoredJob & Required<Pick<StoredJob, 'values' | 'logs' | 'history' | 'edges'>>;

/** A line for each of a few jobs; of many, their ids. */
async function describeRelatives(queue: JobQueue, ranges: readonly JobRange[]): Promise<string | undefined> {
	const jobs = ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
	if (jobs === 0) return undefined;
	if (jobs > MAX_LINES) return `${count(jobs)} jobs: ${describeRanges(ranges)}`;
	const ids = listRanges(ranges);
	const known = new Map((await queue.jobs({ids}).toArray()).map(job => [job.id, job]));
	return ids.map(id => `${id}  ${describeOther(known.get(id))}`).join('\n');
}

function describeOther(job: Job | undefined): string {
	return job ? `${inLine(job.task)}  ${job.status}${job.stale ? `, ${describeStale(job.stale)}` : ''}` : 'deleted';
}

const MAX_RANGES = 5;

function describeRanges(ranges: readonly JobRange[]): string {
	const joined: [first: JobId, last: JobId][] = [];
	for (const [first, last] of ranges) {
		const before = joined.at(-1);
		if (before && before[1] + 1 === first) before[1] = last;
		else joined.push([first, last]);
	}
	const shown = joined.slice(0, MAX_RANGES).map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`));
	return [...shown, ...(joined.length > MAX_RANGES ? ['…'] : [])].join(', ');
}

function plain({values: {payload, result, checkpoint}, logs, history, edges, ...job}: Found): object {
	const named = namesResults(edges.parents);
	return {
		...job,
		payload: toReadable(payload, named),
		result: result === undefined ? undefined : toReadable(result),
		checkpoint: checkpoint && {...checkpoint, state: toReadable(checkpoint.state)},
		logs,
		history,
		...edges,
	};
}

/** What stands for results in a payload that is made of them: the jobs that return them. */
function namesResults(parents: readonly JobRange[]): ResultsOfParents {
	const ids = listRanges(parents);
	return (index, count) => {
		if (count === null) return `(the result of job ${ids[index]})`;
		return count === 0 ? [] : `(the results of jobs ${ids[index]} to ${ids[index + count - 1]})`;
	};
}

/** The value; or, if it can't be read, the reason, so that the rest of the job is shown. */
function toReadable(encoded: Encoded, results?: ResultsOfParents): unknown {
	try {
		return decode(encoded, results);
	} catch (error) {
		return {unreadable: (error as Error).message};
	}
}

const INDENT = 12;

function describe({values: {payload, result, checkpoint}, logs, history, edges, ...job}: Found, parents?: string, children?: string): string {
	const {error, status, timeoutMs, timeoutPercent} = job;
	const isRunning = status === 'running';
	const last = history.at(-1);
	const rows: readonly (readonly [label: string, text: string | undefined])[] = [
		[`job ${job.id}`, `${job.task}  ${job.held ? 'held' : status}`],
		['stale', job.stale && STALE[job.stale]],
		['key', job.key],
		['batch', job.batch],
		['scope', job.scope],
		['attempts', describeAttempts(job)],
		['enqueued', formatTime(job.createdAt)],
		['scheduled', ifKnown(job.scheduledAt, at => `for ${formatTime(at)}`)],
		['due', ifKnown(job.runAt, formatTime)],
		[isRunning ? 'running' : 'started', ifKnown(job.startedAt, at => `${isRunning ? 'since ' : ''}${formatTime(at)}`)],
		['ended', ifKnown(job.endedAt, formatTime)],
		['timeout', ifKnown(timeoutPercent, percent => `${percent}% of the median`) ?? ifKnown(timeoutMs ?? undefined, ms => `${ms / 1000} s`)],
		['progress', ifKnown(job.progress, describeProgress)],
		['checkpoint', ifKnown(checkpoint, ({execution, at, state}) => `of execution ${count(execution)} at ${formatTime(at)}\n${describeValue(state)}`)],
		['parents', parents],
		['children', children],
		['payload', describeValue(payload, namesResults(edges.parents))],
		['result', ifKnown(result, value => describeValue(value))],
		['cost', describeCost(job)],
		['worker', last?.execution === job.executions ? last.worker : undefined],
		['history', history.length > 1 ? history.slice(-MAX_LINES).map(describeExecution).join('\n') : undefined],
		['error', ifKnown(error, describeError)],
		['end', error?.postMortem && describeEnd(error, error.postMortem, checkpoint)],
		['log', logs.length > 0 ? describeLogs(logs) : undefined],
	];
	return rows.flatMap(([label, text]) => (text === undefined ? [] : [`${label.padEnd(INDENT)}${text.replaceAll('\n', `\n${' '.repeat(INDENT)}`)}\n`])).join('');
}

const STALE = {
	direct: 'a parent has completed again since, with another result; faena retry --stale brings this job up to date',
	through: 'a parent is stale; faena retry --stale brings both up to date',
} as const;

function describeAttempts({attempts, maxAttempts, executions, status, error}: JobRecord): string {
	const isGivenUp = status === 'dead' && error?.retry === 'never';
	return `${attempts} of ${maxAttempts} charged, ${count(executions)} execution${executions === 1 ? '' : 's'}${isGivenUp ? '; the task asked for no other attempt' : ''}`;
}

function ifKnown<Value>(value: Value | undefined, describe: (value: Value) => string): string | undefined {
	return value === undefined ? undefined : describe(value);
}

const MAX_VALUE_LENGTH = 400;

function describeValue(encoded: Encoded, results?: ResultsOfParents): string {
	try {
		return shortenValue(toJson(decode(encoded, results)));
	} catch (error) {
		return `can't be read: ${(error as Error).message}`;
	}
}

function shortenValue(text: string): string {
	return shorten(text, MAX_VALUE_LENGTH, ` (${count(text.length)} characters; all with --json)`);
}

function describeCost({waitMs, durationMs, cpuMs, memoryBytes}: JobRecord): string | undefined {
	if (durationMs === undefined) return undefined;
	const parts = [
		ifKnown(waitMs, ms => `waited ${seconds(ms)}`),
		`ran ${seconds(durationMs)}`,
		ifKnown(cpuMs, ms => `processor ${seconds(ms)}`),
		ifKnown(memoryBytes, bytes => `memory ${megabytes(bytes)}`),
	];
	return parts.filter(part => part !== undefined).join(', ');
}

function describeExecution({execution, status, endedAt, durationMs, worker, error}: ExecutionRecord): string {
	const parts = [ifKnown(durationMs, ms => `ran ${seconds(ms)}`), worker, error && `${error.name}: ${error.message.split('\n')[0]}`];
	return `${count(execution)}  ${formatTime(endedAt)}  ${[status, ...parts.filter(Boolean)].join(', ')}`;
}

function describeProgress({done, total, at}: Progress): string {
	return `${count(done)}${total === undefined ? '' : ` of ${count(total)}`} at ${formatTime(at)}`;
}

/** Describes the end of a job that was stopped or crashed: how and when it ended, its progress, checkpoint and memory, and its stack. */
function describeEnd({reason, exitCode, signal, stderr}: FailureRecord, postMortem: PostMortem, checkpoint: JobValues['checkpoint']): string {
	const {execution, attempt, startedAt, durationMs, progress, heap, stack, noStack} = postMortem;
	const how = ifKnown(signal, name => `, signal ${name}`) ?? ifKnown(exitCode, code => `, exit code ${code}`) ?? '';
	const charged = reason === 'cancelled' ? 'charged nothing' : `attempt ${count(attempt)}`;
	const lines = [
		`${ENDS[reason] ?? reason} in execution ${count(execution)} (${charged})${how}`,
		`ran since ${formatTime(startedAt)}, for ${seconds(durationMs)}`,
		`last progress ${progress ? describeProgress(progress) : 'none'}`,
		`last checkpoint ${checkpoint?.execution === execution ? `at ${formatTime(checkpoint.at)}` : 'none'}`,
		heap && `heap ${heap.usedBytes === undefined ? '' : `${megabytes(heap.usedBytes)}, `}limit ${megabytes(heap.limitBytes)}`,
		stack ? `it was here:\n${stack}` : noStack && `where it was isn't known: ${noStack}`,
		stderr && `the end of its stderr:\n${lastLines(stderr)}`,
	];
	return lines.filter(Boolean).join('\n');
}

const ENDS: Partial<Record<FailureRecord['reason'], string>> = {
	timedOut: 'timed out',
	cancelled: 'cancelled while it ran',
	lostWorker: 'ended its worker',
	poison: 'ended its worker too often',
};

/** Lines of the log, or of stderr, that are shown. */
const MAX_LINES = 10;
const MAX_LINE_LENGTH = 200;

/** The last lines, without the stack frames of native code, Faena and Node. */
function lastLines(stderr: string): string {
	const lines = stderr.split('\n').filter(line => line.trim() !== '' && !/^\s*\d+: 0x|^-+ Native stack trace/.test(line) && !isForeign(line));
	const last = lines.slice(-MAX_LINES).map(line => shorten(line, MAX_LINE_LENGTH));
	return last.join('\n');
}

function seconds(ms: number): string {
	return `${(ms / 1000).toFixed(3)} s`;
}

function describeError({causes = [], ...error}: FailureRecord): string {
	return [error, ...causes].map(describeOne).join('\ncaused by ');
}

function describeOne({name, message, stack, code, fields, errors = []}: ErrorRecord): string {
	const lines = (stack || `${name}: ${message}`).split('\n').filter(line => !isForeign(line));
	const inner = errors.map(each => `  • ${each.name}: ${each.message}`);
	// Node puts a code of its own into the first line.
	const more = defined({code: lines[0]?.includes(`[${code}]`) ? undefined : code, ...fields});
	return [...lines, ...(Object.keys(more).length > 0 ? [`with ${shortenValue(toJson(more))}`] : []), ...inner].join('\n');
}

const RUNNER = new URL('../../worker/runner.', import.meta.url).href;

/** True for a stack frame of Node or of the code that runs tasks. */
function isForeign(line: string): boolean {
	return line.includes(RUNNER) || /\(?node:(internal\/[\w/]+|async_hooks):\d+:\d+\)?$/.test(line);
}

function describeLogs(logs: readonly LogLine[]): string {
	const last = logs.slice(-MAX_LINES).map(({at, level, text}) => `${formatTime(at)}  ${level === 'info' ? '' : `${level}: `}${text}`);
	const earlier = logs.length - last.length;
	return [...(earlier > 0 ? [`(${earlier} earlier; all with --json)`] : []), ...last].join('\n');
}

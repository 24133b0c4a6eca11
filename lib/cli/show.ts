import type {Command} from 'commander';
import {decode, type Encoded, FaenaError, type FailureRecord, type Job, type JobQueue, type JobValues, type LogLine} from '../index.ts';
import {count} from './bar.ts';
import {toId, withExistingQueue} from './existing-queue.ts';
import {toJson} from './ndjson.ts';

export function addShow(program: Command): void {
	program
		.command('show')
		.summary('all that is known of a job')
		.description('Shows all that is known of a job.')
		.argument('<id>', "the job's number")
		.option('--queue <file>', 'SQLite file in which the jobs live', 'faena.db')
		.option('--json', 'as one line of JSON, with nothing shortened')
		.action(async (text: string, {queue: file, json}: {readonly queue: string; readonly json?: true}) => {
			const id = toId(text);
			const found = await withExistingQueue(file, queue => look(queue, id));
			if (!found) throw new FaenaError('NoSuchJob', `There is no job ${id} in ${file}; it may have been cleaned up.`);
			process.stdout.write(json ? `${toJson(plain(found))}\n` : describe(found));
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
		payload: decode(payload),
		...(result !== undefined && {result: decode(result)}),
		...(checkpoint && {checkpoint: {...checkpoint, state: decode(checkpoint.state)}}),
		logs,
	};
}

/** Log lines that are shown. */
const LAST_LINES = 10;

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
		['started', time(job.startedAt)],
		['ended', time(job.endedAt)],
		['took', job.durationMs === undefined ? undefined : `${(job.durationMs / 1000).toFixed(3)} s`],
		['timeout', job.timeoutMs === null ? undefined : `${job.timeoutMs / 1000} s`],
		['progress', progress && `${count(progress.done)}${progress.total === undefined ? '' : ` of ${count(progress.total)}`} at ${time(progress.at)}`],
		['resumes', checkpoint && `from the checkpoint of execution ${count(checkpoint.execution)} at ${time(checkpoint.at)}\n${value(checkpoint.state)}`],
		['payload', value(payload)],
		['result', result === undefined ? undefined : value(result)],
		['error', error && describeError(error)],
		['log', logs.length > 0 ? describeLogs(logs) : undefined],
	];
	return rows.flatMap(([label, text]) => (text === undefined ? [] : [`${label.padEnd(INDENT)}${text.replaceAll('\n', `\n${' '.repeat(INDENT)}`)}\n`])).join('');
}

const INDENT = 10;

function time(at: number | undefined): string | undefined {
	return at === undefined ? undefined : new Date(at).toISOString();
}

const MAX_VALUE = 400;

function value(encoded: Encoded): string {
	const text = toJson(decode(encoded));
	return text.length <= MAX_VALUE ? text : `${text.slice(0, MAX_VALUE)}… (${count(text.length)} characters; all with --json)`;
}

function describeError({causes = [], ...error}: FailureRecord): string {
	return [error, ...causes].map(({name, message, stack}) => (stack ? ownFrames(stack) : `${name}: ${message}`)).join('\ncaused by ');
}

const RUNNER = new URL('../runner.', import.meta.url).href;

/** The frames of the task and what it called, without those of Faena that called it. */
function ownFrames(stack: string): string {
	const lines = stack.split('\n');
	const end = lines.findIndex(line => line.includes(RUNNER));
	return lines.slice(0, end < 0 ? lines.length : end).join('\n');
}

function describeLogs(logs: readonly LogLine[]): string {
	const last = logs.slice(-LAST_LINES).map(({at, level, text}) => `${time(at)}  ${level === 'info' ? '' : `${level}: `}${text}`);
	const earlier = logs.length - last.length;
	return [...(earlier > 0 ? [`(${earlier} earlier; all with --json)`] : []), ...last].join('\n');
}

import type {Command} from 'commander';
import {type Counts, type Job, statusSummary} from '../index.ts';
import type {JobQueue} from '../queue.ts';
import {defined} from '../support/defined.ts';
import {batchOf, useQueue} from './options.ts';
import {count, formatTime, inLine, print, toJson} from './print.ts';

export function addStatus(program: Command): void {
	program
		.command('status')
		.summary('count jobs by status; list those that run or died')
		.description('Prints the number of jobs in each status, and lists running jobs, the oldest waiting job, and the first failed and dead ones.')
		.option('--queue <file>', 'SQLite file of the jobs', 'faena.db')
		.option('--batch <name>', 'only the jobs of this batch')
		.option('--json', 'print one line of JSON')
		.action(async ({queue: file, batch, json}: {readonly queue: string; readonly batch?: string; readonly json?: true}) => {
			const report = await useQueue(file, queue => look(queue, batch), {readOnly: true});
			await print(json ? `${toJson(report)}\n` : describe(file, report));
		});
}

/** The most jobs that are listed of each status. */
const MAX_LISTED = {running: 10, pending: 1, failed: 3, dead: 3} as const;

type ListedStatus = keyof typeof MAX_LISTED;

/** Counts, the names of paused tasks, and the first jobs of each status by id. */
interface StatusReport extends Readonly<Record<ListedStatus, readonly Job[]>> {
	readonly counts: Counts;
	readonly paused: readonly string[];
}

async function look(queue: JobQueue, batch: string | undefined): Promise<StatusReport> {
	const first = (status: ListedStatus) => queue.jobs({...defined({batch}), status}, {limit: MAX_LISTED[status]});
	return {
		counts: batch === undefined ? await queue.counts() : (await batchOf(queue, batch)).counts,
		paused: await queue.paused(),
		running: await first('running'),
		pending: await first('pending'),
		failed: await first('failed'),
		dead: await first('dead'),
	};
}

function describe(file: string, {counts, paused, ...jobs}: StatusReport): string {
	const listed = (Object.keys(MAX_LISTED) as ListedStatus[]).flatMap(status => list(jobs[status], counts[status]));
	const lines = [
		`${file}: ${statusSummary(counts)}`,
		...(paused.length > 0 ? [`paused: ${paused.map(inLine).join(', ')}`] : []),
		...(listed.length > 0 ? ['', ...listed] : []),
	];
	return `${lines.join('\n')}\n`;
}

function list(jobs: readonly Job[], total: number): string[] {
	const rows = jobs.map(
		job => `${job.status.padEnd(8)} #${String(job.id).padEnd(7)} ${inLine(job.task)}${job.key === undefined ? '' : `  key ${inLine(job.key)}`}  ${detail(job)}`,
	);
	const more = total - jobs.length;
	return jobs.length > 0 && more > 0 ? [...rows, `${' '.repeat(9)}and ${count(more)} more`] : rows;
}

function detail({status, createdAt, attempts, maxAttempts, progress, error, runAt}: Job): string {
	if (status === 'running' && progress) return `${progress.done}${progress.total === undefined ? '' : ` of ${progress.total}`}`;
	if (status === 'running') return attempts > 0 ? `attempt ${attempts + 1} of ${maxAttempts}` : '';
	if (runAt !== undefined) return `until ${formatTime(runAt)}`;
	if (status === 'pending') return `since ${formatTime(createdAt)}`;
	return error ? inLine(`${error.name}: ${error.message.split('\n')[0]}`) : '';
}

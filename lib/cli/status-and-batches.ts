import type {Command} from 'commander';
import {type BatchInfo, toBatchInfo} from '../api/handles.ts';
import {shownLocation} from '../api/queue-location.ts';
import type {Job, JobStatus} from '../index.ts';
import {bad} from '../job/checks.ts';
import {describeStages, statusSummary} from '../job/job.ts';
import type {JobQueue} from '../queue.ts';
import {defined} from '../support/defined.ts';
import {inLine} from './controls.ts';
import {batchOf, queueCommand, useQueue} from './input.ts';
import {describeName, describeState} from './list.ts';
import {clock, count, formatRate, formatTime, print, toJson} from './print.ts';
import {cut, outputWidth, table} from './table.ts';
import {redraw} from './watch.ts';

export function addStatus(program: Command): void {
	queueCommand(program, 'status')
		.summary('count jobs by status; list those that run or died')
		.description(
			'Prints the number of jobs in each status, and lists running jobs, the oldest waiting job, and the first failed and dead ones.\n' +
				'faena list lists all.',
		)
		.option('--batch <name>', 'only the jobs of this batch')
		.option('--json', 'print one line of JSON, with all running, failed and dead jobs')
		.option('--watch', 'draw it again every second on the terminal, until Ctrl-C')
		.action(async ({queue: file, batch, json, watch}: StatusFlags) => {
			if (json && watch) throw bad('Give either --json or --watch.');
			const read = async (queue: JobQueue) => describeReport(shownLocation(file), await look(queue, batch));
			const use = watch
				? (queue: JobQueue) => redraw(() => read(queue))
				: async (queue: JobQueue) => (json ? `${toJson(await lookAtAll(queue, batch))}\n` : read(queue));
			await print(await useQueue(file, use, {readOnly: true}), {hasStatuses: !json});
		});
}

interface StatusFlags {
	readonly queue: string;
	readonly batch?: string;
	readonly json?: true;
	readonly watch?: true;
}

/** The most jobs that are listed of each status. */
const MAX_LISTED = {running: 10, pending: 1, failed: 3, dead: 3} as const;

type ListedStatus = keyof typeof MAX_LISTED;

/** Counts, the names of paused tasks, and the first jobs of each status by id. */
async function look(queue: JobQueue, batch: string | undefined) {
	const first = (status: ListedStatus) => queue.jobs({...defined({batch}), status, limit: MAX_LISTED[status]});
	const [running, pending, failed, dead] = [await first('running'), await first('pending'), await first('failed'), await first('dead')];
	return {...(await numbersOf(queue, batch)), running, pending, failed, dead};
}

/** As {@link look}, with all jobs that run or failed, and the oldest one that waits. */
async function lookAtAll(queue: JobQueue, batch: string | undefined) {
	const all = (status: JobStatus) => queue.jobs({...defined({batch}), status, limit: Infinity});
	const [oldestPending] = await queue.jobs({...defined({batch}), status: 'pending', limit: 1});
	return {...(await numbersOf(queue, batch)), running: await all('running'), failed: await all('failed'), dead: await all('dead'), oldestPending};
}

async function numbersOf(queue: JobQueue, batch: string | undefined) {
	const counts = batch === undefined ? await queue.counts() : (await batchOf(queue, batch)).counts;
	return {counts, paused: await queue.paused()};
}

function describeReport(location: string, {counts, paused, ...jobs}: Awaited<ReturnType<typeof look>>): string {
	const listed = (Object.keys(MAX_LISTED) as ListedStatus[]).flatMap(status => list(jobs[status], counts[status]));
	const lines = [
		`${location}: ${statusSummary(counts)}`,
		...(paused.length > 0 ? [`paused: ${paused.map(inLine).join(', ')}`] : []),
		...(listed.length > 0 ? ['', ...listed] : []),
	];
	return `${lines.join('\n')}\n`;
}

function list(jobs: readonly Job[], total: number): string[] {
	const rows = jobs.map(job => cut(`${describeName(job)}  ${describeState(job)}`, outputWidth()));
	const more = total - jobs.length;
	return jobs.length > 0 && more > 0 ? [...rows, `${' '.repeat(10)}and ${count(more)} more`] : rows;
}

export function addBatches(program: Command): void {
	queueCommand(program, 'batches')
		.summary('list the batches of a queue, and how far each is')
		.description('Lists the batches of a queue: the jobs of each by status, how fast they end, and the time that is left.')
		.option('--json', 'print a line of JSON for each')
		.action(async ({queue: file, json}: {readonly queue: string; readonly json?: true}) => {
			const list = async (queue: JobQueue) => (await queue.batches()).map(batch => toBatchInfo(batch, queue.store.now()));
			const batches = await useQueue(file, list, {readOnly: true});
			await print(json ? batches.map(batch => `${toJson(batch)}\n`).join('') : describeBatches(shownLocation(file), batches), {hasStatuses: !json});
		});
}

function describeBatches(file: string, batches: readonly BatchInfo[]): string {
	if (batches.length === 0) return `${file}: no batches\n`;
	return table(batches.map(batch => [inLine(batch.name), inLine(batch.task ?? batch.kind), describeBatch(batch)]));
}

/** For instance `1,204 completed, 370 pending  of 1,574  112/s  ETA 0:04`. */
function describeBatch({counts, total, stages, tasks = {}, completedAt, jobsPerSecond = 0, remainingMs}: BatchInfo): string {
	// The batch has more jobs than the last input had items if an earlier input was longer.
	const jobs = Object.values(counts).reduce((sum, each) => sum + each, 0);
	const parts = [
		stages ? describeStages(stages, tasks) : statusSummary(counts),
		total !== undefined && !stages && `of ${count(Math.max(total, jobs))}`,
		completedAt !== undefined && `done ${formatTime(completedAt)}`,
		jobsPerSecond > 0 && formatRate(jobsPerSecond),
		remainingMs !== undefined && `ETA ${clock(remainingMs / 1000)}`,
	];
	return parts.filter(Boolean).join('  ');
}

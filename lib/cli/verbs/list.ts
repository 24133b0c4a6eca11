import {type Command, Option} from 'commander';
import type {Job, JobId, JobSearch} from '../../index.ts';
import {bad, defined, SORTED_BY, SORTS, STATUSES} from '../../internal/words.ts';
import type {JobQueue} from '../../queue.ts';
import type {JobRecord} from '../../store.ts';
import {toCount, toId, toPast, toStatuses} from '../flags/flag-values.ts';
import {batchOf, noSuchJob, queueCommand, useQueue} from '../flags/queue-flag.ts';
import {inLine} from '../terminal/controls.ts';
import {formatTime, print, printError, recordJson} from '../terminal/print.ts';
import {cut, outputWidth} from '../terminal/table.ts';

interface Options extends JobSearch {
	readonly queue: string;
	readonly limit?: number;
	readonly after?: JobId;
	readonly json?: true;
}

export function addList(program: Command): void {
	queueCommand(program, 'list')
		.summary('list jobs by status, task, batch, key or time, in order of arrival or sorted')
		.description('Lists the jobs that meet all conditions, one on each line. Without a limit it lists all of them.')
		.option('--status <names>', `one of ${STATUSES.join(', ')}, or several with commas between`, toStatuses)
		.option('--task <name>', 'jobs of this task')
		.option('--stale', 'completed jobs that were made from results which are no longer the last ones')
		.option('--batch <name>', 'jobs of this batch, that is, of this run')
		.option('--key <key>', 'the job with this key, together with its --batch or, outside batches, its --task')
		.addOption(
			new Option(
				'--sort <by>',
				'id: in order of arrival; startedAt, endedAt: the latest first; duration: the longest first. The last three list only jobs that have started, or ended',
			)
				.choices(SORTS)
				.default('id'),
		)
		.option(
			'--since <time>',
			'enqueued since then, or how long ago: 2026-11-28, 2026-11-28T14:30, 2h. Local time, or UTC with a Z at the end. Sorted by startedAt: started since then; by endedAt or duration: ended',
			toPast,
		)
		.option('--until <time>', 'as --since: before then', toPast)
		.option('--limit <n>', 'list at most so many', toCount)
		.option('--after <id>', 'go on after this job of the list', toId)
		.option('--json', 'print a line of JSON for each')
		.action(async (options: Options) => useQueue(options.queue, queue => list(queue, options), {readOnly: true}));
}

/** Jobs that are read at once. */
const PAGE_JOBS = 1000;

async function list(queue: JobQueue, {queue: file, limit = Infinity, after, json, ...search}: Options): Promise<void> {
	if (search.key !== undefined && search.task === undefined && search.batch === undefined)
		throw bad('A --key is unique in a task or a batch; name it with --task or --batch.');
	if (search.batch !== undefined) await batchOf(queue, search.batch);
	const jobs = queue.jobs(search);
	let listed = 0;
	let last = await placeOf(file, queue, search, after);
	for (let hasMore = true; hasMore; ) {
		if (listed === limit) return printError(`There are more. Go on with --after ${(last as Job).id}.`);
		const page = await jobs.page({limit: Math.min(limit - listed, PAGE_JOBS), ...defined({after: last})});
		for (const job of page) await printJob(job, json);
		[listed, last, hasMore] = [listed + page.length, page.at(-1), page.hasMore];
	}
	if (listed === 0) printError(`No job of ${queue.location} ${after === undefined ? 'matches' : 'comes after it'}.`);
}

async function printJob(job: Job, json: true | undefined): Promise<void> {
	await print(`${json ? recordJson(job) : cut(describeListed(job), outputWidth())}\n`, {hasStatuses: !json});
}

/** The job after which a list goes on. In a sorted list its id alone says nothing. */
async function placeOf(file: string, queue: JobQueue, {sort = 'id'}: JobSearch, after: JobId | undefined): Promise<Job | JobId | undefined> {
	if (after === undefined || sort === 'id') return after;
	const job = await queue.job(after);
	if (!job) throw noSuchJob(file, after);
	if (job[SORTED_BY[sort].value] === undefined)
		throw bad(`Job ${after} is in no list sorted by ${sort}: it has not come so far, or was retried. List from the beginning, without --after.`);
	return job;
}

function describeListed(job: Job): string {
	const {endedAt, startedAt, durationMs} = job;
	const time = endedAt !== undefined ? `ended ${formatTime(endedAt)}` : startedAt !== undefined ? `started ${formatTime(startedAt)}` : '';
	const parts = [
		describeName(job),
		time,
		durationMs === undefined ? '' : `ran ${durationMs < 1000 ? `${durationMs.toFixed(1)} ms` : `${(durationMs / 1000).toFixed(1)} s`}`,
		describeState(job),
	];
	return parts.filter(Boolean).join('  ');
}

/** For instance `dead     #17      thumbnail  key a.jpg`. */
export function describeName({status, held, id, task, key}: Job | JobRecord): string {
	return `${(held ? 'held' : status).padEnd(9)} #${String(id).padEnd(7)} ${inLine(task)}${key === undefined ? '' : `  key ${inLine(key)}`}`;
}

/** How far it is, what it waits for, or why it failed. */
export function describeState({status, createdAt, attempts, maxAttempts, progress, error, runAt, stale}: Job | JobRecord): string {
	if (stale) return describeStale(stale);
	if (status === 'running' && progress) return `${progress.done}${progress.total === undefined ? '' : ` of ${progress.total}`}`;
	if (status === 'running') return attempts > 0 ? `attempt ${attempts + 1} of ${maxAttempts}` : '';
	if (runAt !== undefined) return `until ${formatTime(runAt)}`;
	if (status === 'pending') return `since ${formatTime(createdAt)}`;
	return error ? inLine(`${error.name}: ${error.message.split('\n')[0]}`) : '';
}

export function describeStale(stale: NonNullable<Job['stale']>): string {
	return stale === 'direct' ? 'stale' : 'stale through a parent';
}

import {createHash} from 'node:crypto';
import {existsSync} from 'node:fs';
import {dirname, relative, resolve} from 'node:path';
import {FaenaError, type Job} from '../index.ts';
import {openQueue} from '../queue.ts';

const MAX_NAME_LENGTH = 200;

/**
 * The default name of a run's batch: the same whenever the command is typed again. Its paths are relative to the working
 * directory, so the name also has the path from the queue's folder to that directory.
 */
export function batchName(target: string, input: readonly string[], queue: string): string {
	const path = relative(dirname(resolve(queue)), process.cwd());
	const name = [target, ...input, ...(path ? ['in', path] : [])].join(' ');
	if (name.length <= MAX_NAME_LENGTH) return name;
	return `${name.slice(0, MAX_NAME_LENGTH - 17)}…${createHash('sha256').update(name).digest('hex').slice(0, 16)}`;
}

/** A run leaves fewer jobs unfinished: its window is 4,096 items. */
const MAX_LISTED_JOBS = 5000;

/**
 * Refuses a queue with an unfinished other run. Its jobs would run before this run's. Worse, a job names its task but not its
 * module: a task of the same name in another module would run with the wrong function.
 * @throws FaenaError `BadOption`
 */
export async function refuseUnfinished(
	file: string,
	{module, task, batch}: {readonly module: string; readonly task: string; readonly batch: string},
): Promise<void> {
	if (!existsSync(file)) return;
	const queue = await openQueue(file);
	try {
		await queue.reclaim();
		const unfinished = await queue.jobs({status: ['pending', 'running', 'failed']}, {limit: MAX_LISTED_JOBS});
		const other = unfinished.find(job => job.batch !== batch && (job.task === task || isOf(module, job)));
		if (other)
			throw unfinishedRun(
				file,
				other,
				unfinished.find(job => job.batch === batch),
			);
	} finally {
		await queue.close();
	}
}

/** @param own a job of this run, if it is unfinished, too: then neither run can be finished first */
function unfinishedRun(file: string, other: Job, own: Job | undefined): FaenaError {
	const cancel = ({batch, id}: Job) => `faena cancel --queue ${quoted(file)} ${batch === undefined ? id : `--batch ${quoted(batch)}`}`;
	const what = other.batch === undefined ? `job ${other.id}` : `the run ${JSON.stringify(other.batch)}`;
	const ways = own
		? `End one of them, for now, with: ${cancel(other)} or: ${cancel(own)}`
		: `Finish it with the command that began it, or end it, for now, with: ${cancel(other)}`;
	return new FaenaError(
		'BadOption',
		`In ${file} ${what} is unfinished${own ? ', as this run is' : ''}, and this command would execute it, too. ${ways} (its command with --retry-failed goes on with it later). Or name another --queue.`,
	);
}

/** The text as one word of a shell command. */
function quoted(text: string): string {
	return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** True if the job's batch has a {@link batchName} of this module. */
function isOf(module: string, {batch, task}: Job): boolean {
	const end = batch?.indexOf(`#${task} `) ?? -1;
	return end > 0 && resolve(batch?.slice(0, end) ?? '') === resolve(module);
}

import {createHash} from 'node:crypto';
import {existsSync} from 'node:fs';
import {dirname, relative, resolve} from 'node:path';
import {FaenaError, type Job, openQueue} from '../index.ts';

const MAX_NAME = 200;

/**
 * A name for what a command does, the same whenever it is typed again. The paths in it are relative to the working
 * directory, so the way there from the queue's folder belongs to the name.
 */
export function batchName(target: string, what: readonly string[], queue: string): string {
	const place = relative(dirname(resolve(queue)), process.cwd());
	const name = [target, ...what, ...(place ? ['in', place] : [])].join(' ');
	if (name.length <= MAX_NAME) return name;
	return `${name.slice(0, MAX_NAME - 17)}…${createHash('sha256').update(name).digest('hex').slice(0, 16)}`;
}

/** More than one run leaves unfinished: it has a window of 4,096 items. */
const LOOKED_AT = 5000;

/**
 * Refuses a queue in which another run is unfinished: its jobs would come before this one's. Worse, jobs are found by their
 * task's name alone, so those of another module's task of that name would be executed by the wrong function.
 * @throws FaenaError `BadOption`
 */
export async function refuseUnfinished(
	file: string,
	{module, task, batch}: {readonly module: string; readonly task: string; readonly batch: string},
): Promise<void> {
	if (!existsSync(file)) return;
	const queue = await openQueue(file);
	try {
		await queue.recover();
		const unfinished = await queue.jobs({status: ['pending', 'running', 'failed']}, {limit: LOOKED_AT});
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

/** @param own a job of this run, if that is unfinished, too: then neither of them can be finished first */
function unfinishedRun(file: string, other: Job, own: Job | undefined): FaenaError {
	const cancel = ({batch, id}: Job) => `faena cancel --queue ${quoted(file)} ${batch === undefined ? id : `--batch ${quoted(batch)}`}`;
	const what = other.batch === undefined ? `job ${other.id}` : `the run ${JSON.stringify(other.batch)}`;
	const ways = own
		? `End one of them, for now, with: ${cancel(other)} or: ${cancel(own)}`
		: `Finish it by the command that began it, or end it, for now, with: ${cancel(other)}`;
	return new FaenaError(
		'BadOption',
		`In ${file} ${what} is unfinished${own ? ', as this run is' : ''}, and would be executed by this command, too. ${ways} (its command with --retry-failed goes on with it later). Or name another --queue.`,
	);
}

/** As one word for a shell. */
function quoted(text: string): string {
	return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** True if the job's batch has a {@link batchName} that begins with this module. */
function isOf(module: string, {batch, task}: Job): boolean {
	const end = batch?.indexOf(`#${task} `) ?? -1;
	return end > 0 && resolve(batch?.slice(0, end) ?? '') === resolve(module);
}

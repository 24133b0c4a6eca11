import {resolve} from 'node:path';
import {shownLocation} from '../api/queue-location.ts';
import type {Job} from '../index.ts';
import {bad} from '../job/checks.ts';
import {UNENDED_STATUSES} from '../job/job.ts';
import type {JobQueue} from '../queue.ts';
import {shellQuote} from './shell-quote.ts';

/** A run leaves fewer jobs unfinished: its window is 4,096 items. */
const MAX_LISTED_JOBS = 5000;

/**
 * Refuses a queue with unfinished jobs of the same task that may be of another module, or of another folder: a job names its task but not its module,
 * so this run would execute them with the wrong function, or on the wrong files. Other runs go on beside this one: it takes no jobs of other tasks.
 * @throws FaenaError `BadOption`
 */
export async function refuseUnfinished(
	queue: JobQueue,
	file: string,
	{module, task, batch, place}: Readonly<Record<'module' | 'task' | 'batch' | 'place', string>>,
): Promise<void> {
	const unfinished = await queue.jobs({task, status: UNENDED_STATUSES, limit: MAX_LISTED_JOBS});
	const other = unfinished.find(job => job.batch !== batch && !isOf(module, place, job));
	if (!other) return;
	const loose = unfinished.filter(job => job.batch === undefined).length;
	const target = other.batch !== undefined ? `--batch ${shellQuote(other.batch)}` : loose > 1 ? `--task ${shellQuote(other.task)}` : other.id;
	const shown = shownLocation(file);
	const what = other.batch !== undefined ? `the run ${JSON.stringify(other.batch)}` : `job ${other.id}${loose > 1 ? `, one of ${loose},` : ''}`;
	throw bad(
		`In ${shown} ${what} is unfinished, and its task is called ${task}, too: this command would execute it, perhaps with the wrong module or in the wrong folder. Finish it with the command that began it, or end it, for now, with: faena cancel --queue ${shellQuote(shown)} ${target} (its command with --retry-failed goes on with it later). Or name another --queue.`,
	);
}

/**
 * True if the job's batch has the default name of a run of this module in this place.
 * @param place the end of its name; empty for the queue's own folder
 */
function isOf(module: string, place: string, {batch = '', task}: Job): boolean {
	const end = batch.indexOf(`#${task} `);
	const isHere = place === '' ? !/ in \S/.test(batch) : batch.endsWith(place);
	return end > 0 && isHere && resolve(batch.slice(0, end)) === resolve(module);
}

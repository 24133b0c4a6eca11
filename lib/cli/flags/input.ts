/** What a command gets from its user: the queue that `--queue` names, and the values of flags. */

import {type Command, InvalidArgumentError} from 'commander';
import type {StringValue} from 'ms';
import ms from 'ms';
import type {HaltOption, JobId, JobStatus} from '../../index.ts';
import {closeOnSignals, isSignalled} from '../../internal/api.ts';
import {bad, FaenaError, kindOf, STATUSES, shownLocation} from '../../internal/words.ts';
import {type Batch, type JobQueue, openQueue} from '../../queue.ts';

/** A command for a queue that exists. */
export function queueCommand(program: Command, name: string, what = 'SQLite file or PostgreSQL URL of the jobs'): Command {
	return program.command(name).option('--queue <file>', what, 'faena.db');
}

/** Opens an existing queue for a moment, to change it or, with `readOnly`, to look at it. Never creates one. */
export async function useQueue<Result>(file: string, use: (queue: JobQueue) => Promise<Result>, {readOnly = false} = {}): Promise<Result> {
	await assertExists(file);
	const queue = await openQueue(file, {readOnly});
	// A signal closes the queue, and then ends the process: so a queue that is only looked at has the same files afterwards.
	const stopListening = closeOnSignals(queue);
	try {
		// Jobs of killed processes no longer run. A queue that is only looked at still shows them as running.
		if (!readOnly) await queue.reclaim();
		return await use(queue);
	} catch (error) {
		// It was closed under the command.
		if (isSignalled()) await new Promise(() => {});
		throw error;
	} finally {
		await queue.close();
		stopListening();
	}
}

/** @throws FaenaError `BadDatabase` if `open()` would create the queue */
/** @param option the one that names it */
export async function assertExists(queue: string, option = '--queue'): Promise<void> {
	if (!(await kindOf(queue).exists(queue)))
		throw new FaenaError('BadDatabase', `There is no queue ${shownLocation(queue)} here; name its ${kindOf(queue).noun} with ${option}.`);
}

const MAX_NAMED_IDS = 10;

/** The error of every command that gets the id of a job that does not exist, or the ids of several. */
export function noSuchJob(file: string, ...ids: readonly JobId[]): FaenaError {
	const named = `${ids.slice(0, MAX_NAMED_IDS).join(', ')}${ids.length > MAX_NAMED_IDS ? ' …' : ''}`;
	return new FaenaError('NoSuchJob', `There is no job ${named} in ${shownLocation(file)}; it may have been cleaned up.`);
}

/** @throws FaenaError `NoSuchBatch` */
export async function batchOf(queue: JobQueue, name: string): Promise<Batch> {
	const batch = await queue.batch(name);
	if (!batch) throw new FaenaError('NoSuchBatch', `There is no batch ${JSON.stringify(name)} in ${queue.location}; faena batches lists them.`);
	return batch;
}

export function toCount(text: string): number {
	if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
	throw new InvalidArgumentError('It is a whole number from 1.');
}

/** A number without a unit is refused: the engine would take it for milliseconds, most people mean seconds. */
export function toTime(text: string): string {
	if (/^\d+(\.\d+)?%$/.test(text) && Number.parseFloat(text) > 100) return text;
	const isTime = /[a-z]\s*$/i.test(text) && text.length < 100 && (ms(text as StringValue) ?? 0) > 0;
	if (isTime) return text;
	throw new InvalidArgumentError('It is a time with its unit, such as 500ms, 30s, 10m or 2h, or more than 100% of the median.');
}

/** A time, in milliseconds since 1970: a date, a date with a time, or how long ago. Without a time zone it is local time. */
export function toPast(text: string): number {
	const ago = /^\d/.test(text) && /[a-z]\s*$/i.test(text) && !text.endsWith('Z') && text.length < 100 ? ms(text as StringValue) : undefined;
	// A date alone would be read as UTC.
	const at = ago !== undefined ? Date.now() - ago : /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text.length === 10 ? `${text}T00:00` : text) : NaN;
	if (Number.isFinite(at)) return at;
	throw new InvalidArgumentError('It is a time such as 2026-11-28, 2026-11-28T14:30 or 2026-11-28T14:30Z, or how long ago, such as 30m, 2h or 7d.');
}

export function toStatuses(text: string): JobStatus[] {
	const names = text.split(',').map(name => name.trim()) as JobStatus[];
	if (names.every(name => (STATUSES as readonly string[]).includes(name))) return names;
	throw new InvalidArgumentError(`It is one of ${STATUSES.join(', ')}, or several with commas between.`);
}

export function toHalt(text: string): HaltOption {
	const [, when, on, at] = /^(now|soon),(fail|success|done)=([1-9]\d{0,8}|\d+(?:\.\d+)?%)$/.exec(text) ?? [];
	if (when === undefined || at === undefined)
		throw new InvalidArgumentError('It is now or soon, then fail, success or done and how many, for instance soon,fail=3 or now,fail=5%.');
	return {when, on, at: at.endsWith('%') ? at : Number(at)} as HaltOption;
}

/** @throws FaenaError `BadOption` */
export function toId(text: string): JobId {
	const id = Number(text);
	if (/^\d+$/.test(text) && Number.isSafeInteger(id) && id > 0) return id;
	throw new FaenaError('BadOption', `A job's id is a positive whole number, such as the "jobId" in the output of faena map; this is ${JSON.stringify(text)}.`);
}

/** @throws FaenaError `BadOption` */
export function toTask(text: string): {readonly module: string; readonly task: string} {
	const [, module, task] = /^(.+)#([^#]+)$/.exec(text) ?? [];
	if (module !== undefined && task !== undefined) return {module, task};
	throw bad(`Name a module and one of its functions, for instance './tasks.ts#thumbnail'; this is ${JSON.stringify(text)}.`);
}

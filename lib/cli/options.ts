/** The values of flags, and the queue that `--queue` names. */

import {existsSync} from 'node:fs';
import {InvalidArgumentError} from 'commander';
import type {StringValue} from 'ms';
import ms from 'ms';
import {FaenaError, type HaltOption, type JobId} from '../index.ts';
import {type Batch, type JobQueue, openQueue} from '../queue.ts';

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

export function toHalt(text: string): HaltOption {
	const [, when, on, at] = /^(now|soon),(fail|success)=([1-9]\d{0,8}|\d+(?:\.\d+)?%)$/.exec(text) ?? [];
	if (when === undefined || at === undefined)
		throw new InvalidArgumentError('It is now or soon, then fail or success and how many, for instance soon,fail=3 or now,fail=5%.');
	return {when, on, at: at.endsWith('%') ? at : Number(at)} as HaltOption;
}

/** @throws FaenaError `BadOption` */
export function toId(text: string): JobId {
	const id = Number(text);
	if (/^\d+$/.test(text) && Number.isSafeInteger(id) && id > 0) return id;
	throw new FaenaError('BadOption', `A job's id is a positive whole number, such as the "jobId" in the output of faena map; this is ${JSON.stringify(text)}.`);
}

/** Opens an existing queue for a moment, to change it or, with `readOnly`, to look at it. Never creates one. */
export async function useQueue<Result>(file: string, use: (queue: JobQueue) => Promise<Result>, {readOnly = false} = {}): Promise<Result> {
	if (!existsSync(file)) throw new FaenaError('BadDatabase', `There is no queue ${file} here; name its file with --queue.`);
	const queue = await openQueue(file, {readOnly});
	try {
		// Jobs of killed processes no longer run. A queue that is only looked at still shows them as running.
		if (!readOnly) await queue.reclaim();
		return await use(queue);
	} finally {
		await queue.close();
	}
}

/** @throws FaenaError `NoSuchBatch` */
export async function batchOf(queue: JobQueue, name: string): Promise<Batch> {
	const batch = await queue.batch(name);
	if (!batch) throw new FaenaError('NoSuchBatch', `There is no batch ${JSON.stringify(name)} in ${queue.location}; faena batches lists them.`);
	return batch;
}

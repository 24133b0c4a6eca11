import {createHash} from 'node:crypto';
import {existsSync} from 'node:fs';
import {dirname, relative, resolve} from 'node:path';
import {FaenaError, type Job, openQueue} from '../index.ts';
import {say} from './explain.ts';

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

/** Unfinished jobs that are looked at: enough to meet those of other runs. */
const LOOKED_AT = 1000;

/**
 * Says what other runs left unfinished in the queue: this one goes on with it. Jobs are found by their task's name alone, so
 * what another module's task of the same name left would be run by the wrong function: that is refused.
 * @throws FaenaError `BadOption`
 */
export async function inspectQueue(
	file: string,
	{module, task, batch}: {readonly module: string; readonly task: string; readonly batch: string},
): Promise<void> {
	if (!existsSync(file)) return;
	const queue = await openQueue(file);
	try {
		const jobs = await queue.jobs({status: ['pending', 'running', 'failed']}, {limit: LOOKED_AT});
		const others = jobs.filter(job => job.batch !== batch).map(job => ({task: job.task, module: moduleOf(job)}));
		const stranger = others.find(other => other.task === task && other.module !== undefined && resolve(other.module) !== resolve(module));
		if (stranger) {
			throw new FaenaError(
				'BadOption',
				`${file} holds unfinished jobs of ${stranger.module}#${task}, which ${module} would run. Finish those first, or name another --queue.`,
			);
		}
		const own = others.filter(other => other.module !== undefined && resolve(other.module) === resolve(module)).length;
		if (own > 0) say(`${file} holds ${jobs.length === LOOKED_AT ? 'many' : own} unfinished jobs of other runs; they come first.`);
	} finally {
		await queue.close();
	}
}

/** The module in a {@link batchName}; batches with names of their own say nothing of it. */
function moduleOf({batch, task}: Job): string | undefined {
	const end = batch?.indexOf(`#${task} `) ?? -1;
	return end > 0 ? batch?.slice(0, end) : undefined;
}

import type {Command} from 'commander';
import type {JobStatus} from '../../index.ts';
import {bad, isTerminal, pages} from '../../internal/words.ts';
import type {JobQueue} from '../../queue.ts';
import type {Deletion, EndTimes} from '../../store.ts';
import {toDuration, toStatuses} from '../flags/flag-values.ts';
import {queueCommand, useQueue} from '../flags/queue-flag.ts';
import {counted, print} from '../terminal/print.ts';

interface Flags {
	readonly queue: string;
	readonly olderThan: number;
	readonly status?: readonly JobStatus[];
	readonly task?: string;
}

export function addCleanup(program: Command): void {
	queueCommand(program, 'cleanup')
		.summary('delete jobs that ended some time ago')
		.description(
			'Deletes completed, dead and cancelled jobs that ended some time ago, with their results. Jobs of an unfinished run are kept. ' +
				'faena vacuum then gives their space back to the disk.',
		)
		.requiredOption('--older-than <time>', 'how long ago they must have ended, for instance 7d; 0s for all', toDuration)
		.option('--status <names>', 'only completed, dead or cancelled ones, or several of these with commas between', toStatuses)
		.option('--task <name>', 'only jobs of this task')
		.action((flags: Flags) => useQueue(flags.queue, async queue => print(`${counted(await cleanUp(queue, flags), 'job')} deleted\n`)));
}

async function cleanUp(queue: JobQueue, {olderThan, status, task}: Flags): Promise<number> {
	const unended = status?.find(each => !isTerminal(each));
	if (unended !== undefined) throw bad(`Jobs that have not ended are never deleted; --status takes completed, dead and cancelled, not ${unended}.`);
	// Times are whole milliseconds: with 0s, the jobs that ended in this one are deleted, too.
	const before = queue.store.now() - olderThan + 1;
	let deleted = 0;
	for await (const page of pages(after => queue.store.delete(toDeletion(before, status, task), {after}))) deleted += page.deleted;
	return deleted;
}

const NEVER: EndTimes = {completed: -Infinity, dead: -Infinity, cancelled: -Infinity};

/** With neither status nor task, closed batches that have no jobs then are deleted, too. */
function toDeletion(before: number, status: readonly JobStatus[] | undefined, task: string | undefined): Deletion {
	if (!status && task === undefined) return {endedBefore: before};
	const times = Object.fromEntries(
		Object.keys(NEVER).map(each => [each, status?.includes(each as JobStatus) === false ? -Infinity : before]),
	) as unknown as EndTimes;
	return {ended: task === undefined ? {...times, tasks: new Map()} : {...NEVER, tasks: new Map([[task, times]])}};
}

import type {Command} from 'commander';
import {nearest} from '../../internal/words.ts';
import type {JobQueue} from '../../queue.ts';
import type {TaskCounts} from '../../store.ts';
import {queueCommand, useQueue} from '../flags/queue-flag.ts';
import {count, print, printError} from '../terminal/print.ts';

export function addPause(program: Command): void {
	addChange(program, 'pause', pause)
		.summary('start no more jobs of tasks')
		.description('Starts no more jobs of these tasks, in all programs on the queue. Jobs that run go on; new jobs can be added, and wait.');
}

export function addResume(program: Command): void {
	addChange(program, 'resume', resume).summary('end the pause of tasks').description('Starts jobs of these tasks again.');
}

function addChange(program: Command, name: string, change: (queue: JobQueue, tasks: readonly string[]) => Promise<void>): Command {
	return queueCommand(program, name)
		.argument('<tasks...>', 'names of the tasks')
		.action((tasks: readonly string[], {queue: file}: {readonly queue: string}) => useQueue(file, queue => change(queue, [...new Set(tasks)])));
}

async function pause(queue: JobQueue, tasks: readonly string[]): Promise<void> {
	const known = await queue.store.counts();
	await queue.pause(tasks);
	for (const task of tasks) {
		const isKnown = known.some(each => each.task === task);
		await print(`paused ${task}${isKnown ? `: ${count(waitingOf(known, task))} of its jobs wait` : ''}\n`);
		if (!isKnown) printError(`The queue has had no job of the task ${JSON.stringify(task)} so far${hint(task, known)}`);
	}
}

async function resume(queue: JobQueue, tasks: readonly string[]): Promise<void> {
	const known = await queue.store.counts();
	const paused = tasks.filter(task => known.some(each => each.isPaused && each.task === task));
	if (paused.length > 0) await queue.resume(paused);
	for (const task of paused) await print(`resumed ${task}: ${count(waitingOf(known, task))} of its jobs wait\n`);
	for (const task of tasks) if (!paused.includes(task)) printError(`The task ${JSON.stringify(task)} was not paused${hint(task, known)}`);
}

function hint(task: string, known: readonly TaskCounts[]): string {
	const names = new Set(known.map(each => each.task));
	return names.has(task) ? '.' : nearest(task, [...names]) || '.';
}

/** Jobs of the task, in all scopes, that could start if the task is not paused, now or later. */
export function waitingOf(counts: readonly TaskCounts[], task: string): number {
	return counts.reduce((jobs, each) => jobs + (each.task === task ? each.ready + each.quarantined + each.delayed + each.failed : 0), 0);
}

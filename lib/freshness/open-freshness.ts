import {codesOf, standFor, tableOf} from '../job/task/task-module.ts';
import {FreshnessChecker} from './checker.ts';
import type {FreshnessCalls} from './messages.ts';
import {FreshnessThread} from './thread.ts';

/** Answers which items of maps are out of date. */
export interface OpenFreshness {
	/** @throws FaenaError `BadOption`, `BadTasksModule`, `UnknownTask` */
	ask<Call extends keyof FreshnessCalls>(call: Call, about: Parameters<FreshnessCalls[Call]>[0]): Promise<ReturnType<FreshnessCalls[Call]>>;
	close(): Promise<void>;
}

/** @param tasks the URL of the tasks module */
export function openFreshness(tasks: string, env?: Readonly<Record<string, string>>, execArgv?: readonly string[]): OpenFreshness {
	const stand = standFor(tasks);
	return stand ? ofObject(stand) : new FreshnessThread(tasks, env, execArgv);
}

/** Tasks of an object that stands in for a module, as in a test: no other thread has it, and their code is their text. */
function ofObject(stand: object): OpenFreshness {
	const tasks = tableOf(stand);
	const checker = new FreshnessChecker(tasks, codesOf(tasks, [...tasks.values()].join('\n')));
	return {ask: async (call, about) => checker[call](about as never) as never, close: async () => undefined};
}

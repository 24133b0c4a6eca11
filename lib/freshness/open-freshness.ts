import {codesOf, standFor, tableOf} from '../job/task-module.ts';
import {FreshnessChecker} from './checker.ts';
import type {FilesSeen, FreshnessAnswer, FreshnessQuestion} from './messages.ts';
import {FreshnessThread} from './thread.ts';

/** Answers which items of maps are out of date. */
export interface OpenFreshness {
	/** @throws FaenaError `BadOption`, `BadTasksModule`, `UnknownTask` */
	check(question: FreshnessQuestion): Promise<FreshnessAnswer>;
	/** Indexes of the files that are not as they were. */
	changed(files: readonly FilesSeen[]): Promise<number[]>;
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
	return {check: async question => checker.check(question), changed: async files => checker.changed(files), close: async () => undefined};
}

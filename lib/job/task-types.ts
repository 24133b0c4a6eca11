/** Types that are derived from the type of a tasks module, such as `typeof import('./tasks.ts')`. */

import type {CompletedBatch} from './job.ts';
import type {TaskContext} from './task.ts';

/** The tasks of an engine that was opened without the type of its module. */
// biome-ignore lint/suspicious/noExplicitAny: without a module's type any payload and result must do
export type AnyTasks = Record<string, (payload: any, ...rest: any[]) => any>;

/** The module's functions, without its other exports. Signatures name it, and not {@link TaskName}, since TypeScript then lists the names in its errors. */
export type TasksOf<Module> = {readonly [Name in keyof Module as Module[Name] extends (...args: never[]) => unknown ? Name : never]: Module[Name]};

/** Names of a module's tasks. */
export type TaskName<Tasks> = keyof TasksOf<Tasks> & string;

/** The type of the task's payload. */
export type PayloadOf<Tasks, Name extends keyof Tasks> = Tasks[Name] extends (...args: infer Args extends unknown[]) => unknown ? Args[0] : never;

/** The type of the task's result, awaited. */
export type ResultOf<Tasks, Name extends keyof Tasks> = Tasks[Name] extends (...args: never[]) => infer Result ? Awaited<Result> : never;

/** Payload and options of `enqueue` and `call`. The payload is optional if the task takes none. */
export type EnqueueArgs<Tasks, Name extends keyof Tasks, Options> =
	ProblemOf<Tasks[Name]> extends never
		? undefined extends PayloadOf<Tasks, Name>
			? [payload?: PayloadOf<Tasks, Name>, options?: Options]
			: [payload: PayloadOf<Tasks, Name>, options?: Options]
		: [problem: ProblemOf<Tasks[Name]>];

/** The tasks that can be enqueued when a batch completes: those that take a {@link CompletedBatch}, or no payload. */
export type CompletionTasksOf<Tasks> = {
	readonly [Name in keyof TasksOf<Tasks> as CompletedBatch extends PayloadOf<Tasks, Name>
		? Name
		: undefined extends PayloadOf<Tasks, Name>
			? Name
			: never]: Tasks[Name];
};

/** Why a function can't be a task, as a sentence that TypeScript shows; `never` if it can. */
export type ProblemOf<Run> = Run extends (...args: infer Args extends unknown[]) => infer Result
	? TakesMore<Args> extends true
		? 'A task takes one payload and a context; this function takes other parameters.'
		: IsFunction<Args[0]> extends true
			? 'The payload of a task can not be a function: it is stored.'
			: IsGenerator<Awaited<Result>> extends true
				? 'The result of a task can not be a generator: it is stored. Return an array.'
				: never
	: never;

/** True if a second parameter is not the context, or a third one is needed. */
type TakesMore<Args extends unknown[]> = Args extends [unknown, unknown, unknown, ...unknown[]]
	? true
	: Args['length'] extends 0 | 1
		? false
		: // biome-ignore lint/suspicious/noExplicitAny: the context of any task
			TaskContext<any, any, any> extends NonNullable<Args[1]>
			? false
			: true;

type IsAny<Type> = 0 extends 1 & Type ? true : false;
type IsFunction<Type> = IsAny<Type> extends true ? false : [Type] extends [never] ? false : [Type] extends [(...args: never[]) => unknown] ? true : false;
type IsGenerator<Type> = IsAny<Type> extends true ? false : [Type] extends [never] ? false : [Type] extends [Generator | AsyncGenerator] ? true : false;

/** Types that are derived from the type of a tasks module. */

/** Names of a module's tasks. */
export type TaskName<Tasks> = {[Name in keyof Tasks]: Tasks[Name] extends (...args: never[]) => unknown ? Name : never}[keyof Tasks] & string;
/** The type of the task's payload. */
export type PayloadOf<Tasks, Name extends keyof Tasks> = Tasks[Name] extends (...args: infer Args extends unknown[]) => unknown ? Args[0] : never;
/** The type of the task's result, awaited. */
export type ResultOf<Tasks, Name extends keyof Tasks> = Tasks[Name] extends (...args: never[]) => infer Result ? Awaited<Result> : never;
/** Payload and options of `enqueue` and `call`. The payload is optional if the task takes none. */
export type EnqueueArgs<Tasks, Name extends keyof Tasks, Options> =
	undefined extends PayloadOf<Tasks, Name> ? [payload?: PayloadOf<Tasks, Name>, options?: Options] : [payload: PayloadOf<Tasks, Name>, options?: Options];

/** The tasks of an engine that was opened without the type of its module. */
// biome-ignore lint/suspicious/noExplicitAny: without a module's type any payload and result must do
export type AnyTasks = Record<string, (payload: any, ...rest: any[]) => any>;

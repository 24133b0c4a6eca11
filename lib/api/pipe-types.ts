import type {PayloadOf, ResultOf, TasksOf} from '../job/task.ts';
import type {StageOptions} from './pipe-plan.ts';

/** Where a pipe gets its items from: an iterable, an async iterable or a stream of Node. */
export type PipeSource<Item> = Iterable<Item> | AsyncIterable<Item>;

/** A stage of a pipe: a task's name, or options with a task. */
export type StageOf<Tasks> = (keyof TasksOf<Tasks> & string) | StageOptions<keyof TasksOf<Tasks> & string>;

type TaskOf<S> = S extends {readonly task: infer Name} ? Name : S;

/** What a stage gets if the one before it returns this. */
type InputOf<S, Before> = S extends {readonly group: number} ? readonly Before[] : Before;

/** What the task of a stage returns. */
export type OutputOf<Tasks, S> = TaskOf<S> extends keyof Tasks ? ResultOf<Tasks, TaskOf<S>> : never;

/** The stage; or, if its task does not take what it gets, a sentence that TypeScript shows. */
export type Fits<Tasks, S, Before> =
	TaskOf<S> extends keyof Tasks
		? [UnknownOption<S>] extends [never]
			? [InputOf<S, Before>] extends [PayloadOf<Tasks, TaskOf<S>>]
				? S
				: {readonly problem: 'The task of this stage does not take what the stage before it returns.'; readonly gets: InputOf<S, Before>}
			: {readonly problem: 'A stage has no such option.'; readonly option: UnknownOption<S>}
		: never;

/** Options that a stage does not have: TypeScript does not look for them where a type is inferred. */
type UnknownOption<S> = S extends string ? never : Exclude<keyof S, keyof StageOptions>;

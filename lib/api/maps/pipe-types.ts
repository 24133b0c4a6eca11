import type {PayloadOf, ResultOf, TasksOf} from '../../job/task/task.ts';
import type {PipeOptions, StageOptions} from './pipe-plan.ts';

/** Where a pipe gets its items from: an iterable, an async iterable or a stream of Node. */
export type PipeSource<Item> = Iterable<Item> | AsyncIterable<Item>;

/** A stage of a pipe: a task's name, or options with a task. */
export type StageOf<Tasks> = (keyof TasksOf<Tasks> & string) | StageOptions<keyof TasksOf<Tasks> & string>;

/** What follows the source, besides names of tasks. */
export type PipeArg<Tasks> = StageOptions<keyof TasksOf<Tasks> & string> | PipeOptions | undefined;

/** The arguments if each stage takes what it gets; or, at the first that does not, a sentence that TypeScript shows. */
export type PipeArgs<Tasks, Item, Args extends readonly unknown[]> = Args extends Chain<Tasks, Item, Args> ? Args : Chain<Tasks, Item, Args>;

type Chain<Tasks, Before, Args extends readonly unknown[]> = number extends Args['length']
	? readonly (StageOf<Tasks> | PipeArg<Tasks>)[]
	: Args[0] extends StageOf<Tasks>
		? ChainFrom<Tasks, Before, Args>
		: readonly [StageOf<Tasks>, PipeArg<Tasks>?];

type ChainFrom<Tasks, Before, Args extends readonly unknown[]> = Args extends readonly [infer S, ...infer More]
	? [S] extends [StageOf<Tasks>]
		? readonly [Fits<Tasks, S, Before>, ...ChainFrom<Tasks, OutputOf<Tasks, S>, More>]
		: readonly [FittingOptions<S>?]
	: readonly [];

/** What the last stage returns. */
export type LastOutput<Tasks, Args extends readonly unknown[]> = Args extends readonly [...infer Before, infer S]
	? [S] extends [StageOf<Tasks>]
		? OutputOf<Tasks, S>
		: LastOutput<Tasks, Before>
	: unknown;

type TaskOf<S> = S extends {readonly task: infer Name} ? Name : S;

/** What a stage gets if the one before it returns this. */
type InputOf<S, Before> = S extends {readonly group: number} ? readonly Before[] : Before;

/** What the task of a stage returns. */
type OutputOf<Tasks, S> = TaskOf<S> extends keyof Tasks ? ResultOf<Tasks, TaskOf<S>> : never;

/** The stage; or, if its task does not take what it gets, a sentence that TypeScript shows. */
type Fits<Tasks, S, Before> =
	TaskOf<S> extends keyof Tasks
		? [UnknownOption<S, StageOptions>] extends [never]
			? [InputOf<S, Before>] extends [PayloadOf<Tasks, TaskOf<S>>]
				? S
				: {
						readonly problem: 'The task of this stage does not take what the stage before it returns.';
						readonly stage: TaskOf<S>;
						readonly takes: PayloadOf<Tasks, TaskOf<S>>;
						readonly gets: InputOf<S, Before>;
					}
			: {readonly problem: 'A stage has no such option.'; readonly stage: TaskOf<S>; readonly option: UnknownOption<S, StageOptions>}
		: never;

type FittingOptions<S> = [UnknownOption<S, PipeOptions>] extends [never]
	? PipeOptions
	: {readonly problem: 'A pipe has no such option.'; readonly option: UnknownOption<S, PipeOptions>};

/** Options that a stage or a pipe does not have: TypeScript does not look for them where a type is inferred. */
type UnknownOption<S, Options> = S extends string ? never : Exclude<keyof S, keyof Options>;

import type {StandardSchemaV1} from '@standard-schema/spec';
import {argument, callable, object} from '../checks.ts';
import type {AnyTasks, Context, TaskFunction, TaskOptions} from './task.ts';
import {type TaskSchemas, withSchemas} from './task-schemas.ts';

const OPTIONS = Symbol.for('faena.task.options');
/** The function without the checks of its schemas. */
const PLAIN = Symbol.for('faena.task.plain');

/**
 * Makes a task of a function, with options. The function itself is not changed, and may be used for several tasks. If it is a
 * task, the new task has its options, too; `options` override them.
 * @throws FaenaError `BadOption` if `run` is not a function, or `options` not an object
 * @example export const thumbnail = task(async ({file}: {file: string}) => { … }, {timeout: '30s'});
 * @example export const embed = task((texts: readonly string[]) => model.embed(texts), {batchSize: 64});
 */
export function task<Input, Payload, Result, Resource = undefined, State = unknown, Tasks = AnyTasks, Output = Awaited<Result>>(
	run: (payload: Payload, context: Context<Resource, State, Tasks>) => Result,
	options: Omit<TaskOptions<Resource, Input>, 'input'> & {
		readonly input: StandardSchemaV1<Input, Payload>;
		readonly output?: StandardSchemaV1<Awaited<Result>, Output>;
		readonly batchSize?: undefined;
	},
): (payload: Input, context: Context<Resource, State, Tasks>) => Promise<Output>;
export function task<Input, Payload, Result, Resource = undefined, State = unknown, Tasks = AnyTasks, Output = Result>(
	run: (
		payloads: readonly Payload[],
		contexts: readonly Context<Resource, State, Tasks>[],
	) => readonly (Result | Error | Promise<Result | Error>)[] | Promise<readonly (Result | Error | Promise<Result | Error>)[]>,
	options: Omit<TaskOptions<Resource, Input>, 'input'> & {
		readonly input: StandardSchemaV1<Input, Payload>;
		readonly output?: StandardSchemaV1<Result, Output>;
		readonly batchSize: number;
	},
): (payload: Input, context: Context<Resource, State, Tasks>) => Output;
export function task<Payload, Result, Resource = undefined, State = unknown, Tasks = AnyTasks, Output = Result>(
	run: (
		payloads: readonly Payload[],
		contexts: readonly Context<Resource, State, Tasks>[],
	) => readonly (Result | Error | Promise<Result | Error>)[] | Promise<readonly (Result | Error | Promise<Result | Error>)[]>,
	options: TaskOptions<Resource, Payload> & {
		readonly input?: undefined;
		readonly output?: StandardSchemaV1<Result, Output>;
		readonly batchSize: number;
	},
): (payload: Payload, context: Context<Resource, State, Tasks>) => Output;
export function task<Payload, Result, Output, Resource = undefined, State = unknown, Tasks = AnyTasks>(
	run: (payload: Payload, context: Context<Resource, State, Tasks>) => Result,
	options: TaskOptions<Resource, Payload> & {
		readonly input?: undefined;
		readonly output: StandardSchemaV1<Awaited<Result>, Output>;
		readonly batchSize?: undefined;
	},
): (payload: Payload, context: Context<Resource, State, Tasks>) => Promise<Output>;
export function task<Payload, Result, Resource = undefined, State = unknown, Tasks = AnyTasks>(
	run: (payload: Payload, context: Context<Resource, State, Tasks>) => Result,
	options?: Omit<TaskOptions<Resource, Payload>, 'output'> & {
		readonly input?: StandardSchemaV1<unknown, Payload>;
		// No schema comes here: the text is what the compiler says of one that does not fit.
		readonly output?: 'a schema that accepts what the function returns';
		readonly batchSize?: undefined;
	},
): (payload: Payload, context: Context<Resource, State, Tasks>) => Result;
// biome-ignore lint/suspicious/noExplicitAny: what is checked is in the signatures above
export function task(run: any, options: any = {}): any {
	argument('task()', 'its first argument', run, callable);
	argument('task()', 'its options', options, object);
	const own = {...optionsOf(run), ...options};
	const plain = run[PLAIN] ?? run;
	const hasSchemas = own.input !== undefined || own.output !== undefined;
	const made = hasSchemas
		? withSchemas(plain, own as TaskSchemas, own.batchSize !== undefined)
		: (payload: unknown, context: unknown) => plain(payload, context);
	Object.defineProperty(made, 'name', {value: run.name});
	return Object.assign(made, {[OPTIONS]: own, [PLAIN]: plain});
}

/** The options that {@link task} attached; empty for a plain function. */
export function optionsOf(run: TaskFunction): TaskOptions {
	return (run as {[OPTIONS]?: TaskOptions})[OPTIONS] ?? {};
}

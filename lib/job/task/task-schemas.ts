import type {StandardSchemaV1} from '@standard-schema/spec';
import {FaenaError} from '../../support/errors.ts';
import {expected} from '../checks.ts';
import {isObject, read} from '../error-record.ts';
import {toFailure} from '../failure.ts';

/** The schemas of a task: of its payload and of its result. */
export interface TaskSchemas {
	readonly input?: StandardSchemaV1;
	readonly output?: StandardSchemaV1;
}

// biome-ignore lint/suspicious/noExplicitAny: a task, or a function for several of its jobs
type Run = (payload: any, context: any) => unknown;

type Context = {readonly job?: {readonly task?: string}} | undefined;

type Code = 'InvalidPayload' | 'InvalidResult';

/** More problems than this are not named. */
const MAX_ISSUES = 5;

export function isSchema(value: unknown): StandardSchemaV1 {
	if (typeof (value as Partial<StandardSchemaV1> | undefined)?.['~standard']?.validate === 'function') return value as StandardSchemaV1;
	throw expected('a schema of Zod, Valibot, ArkType or another library of Standard Schema', value);
}

/** Of an error: the task whose own schema has refused the job's value, and not that of another task which it has called. */
const REFUSED_BY = Symbol.for('faena.task.refusedBy');

/** The task, with checks of its payload before it starts, and of its result. With a `batchSize`, each job of a call is checked for itself. */
export function withSchemas(run: Run, {input, output}: TaskSchemas, isBatch: boolean): Run {
	const check = async (code: Code, schema: StandardSchemaV1 | undefined, value: unknown, context: Context) => {
		// A program may call its task itself, without a context.
		const name = context?.job?.task ?? run.name;
		try {
			return schema ? accepted(name, code, await schema['~standard'].validate(value)) : value;
		} catch (error) {
			throw Object.defineProperty(refusal(name, code, error), REFUSED_BY, {value: made});
		}
	};
	const take = (payload: unknown, context: Context) => check('InvalidPayload', input, payload, context);
	const give = async (result: unknown, context: Context) => (result instanceof Error ? result : check('InvalidResult', output, await result, context));
	const runOne: Run = async (payload, context) => give(await run(await take(payload, context), context), context);
	const runMany: Run = async (payloads: readonly unknown[], contexts: readonly Context[]) => {
		const taken = await Promise.allSettled(payloads.map((payload, index) => take(payload, contexts[index])));
		const good = taken.flatMap(each => (each.status === 'fulfilled' ? [each.value] : []));
		const results =
			good.length > 0
				? await run(
						good,
						contexts.filter((_, index) => taken[index]?.status === 'fulfilled'),
					)
				: [];
		const isWrong = !Array.isArray(results) || results.length !== good.length;
		const problem = new TypeError(`A task with a batchSize returns an array with a result for each of its ${good.length} payloads; this one did not.`);
		return taken.map(each => (each.status === 'rejected' ? each.reason : isWrong ? problem : give(results.shift(), contexts[0])));
	};
	const made = isBatch ? runMany : runOne;
	return made;
}

/** Checks a payload that is to be enqueued, unless its schema answers only later: then the worker does. @throws FaenaError `InvalidPayload` */
export function checkInput(task: string, schema: StandardSchemaV1, payload: unknown, index?: number): void {
	try {
		const result = schema['~standard'].validate(payload);
		if ('then' in result) void result.then(undefined, () => undefined);
		else accepted(task, 'InvalidPayload', result, index);
	} catch (error) {
		throw refusal(task, 'InvalidPayload', error, index);
	}
}

function accepted(task: string, code: Code, result: StandardSchemaV1.Result<unknown>, index?: number): unknown {
	if (!result.issues) return result.value;
	const issues = result.issues.map(({message, path = []}) => ({path: path.map(part => String(typeof part === 'object' ? part.key : part)).join('.'), message}));
	const problems = issues.slice(0, MAX_ISSUES).map(({path, message}) => (path === '' ? message : `${path}: ${message}`));
	const more = issues.length > MAX_ISSUES ? `; and ${issues.length - MAX_ISSUES} more` : '';
	throw withIssues(new FaenaError(code, `${nameOf(task, code, index)} is not what its schema expects: ${withoutStop(problems.join('; '))}${more}.`), issues);
}

function withIssues(error: FaenaError, issues: readonly object[]): FaenaError {
	return Object.assign(error, {issues});
}

/** The error of a refusal; a schema may also have thrown. */
function refusal(task: string, code: Code, error: unknown, index?: number): FaenaError {
	if (error instanceof FaenaError && error.code === code) return error;
	const message = `${nameOf(task, code, index)} can't be checked, since its schema threw: ${withoutStop(toFailure(error).message)}.`;
	return withIssues(new FaenaError(code, message, {cause: error}), []);
}

function withoutStop(text: string): string {
	return text.replace(/\.$/, '');
}

/** @param index of one of many payloads */
function nameOf(task: string, code: Code, index?: number): string {
	const of = task === '' ? '' : ` of task ${task}`;
	return `${code === 'InvalidPayload' ? 'The payload' : 'The result'}${of}${index === undefined ? '' : ` at index ${index}`}`;
}

/** The reason of a failure of this task. By the code, since its library may be another copy of this one. */
export function reasonOf(error: unknown, run: Run | undefined): 'badPayload' | 'badResult' | 'threw' {
	if (run === undefined || !isObject(error) || read(error, REFUSED_BY) !== run) return 'threw';
	return read(error, 'code') === 'InvalidPayload' ? 'badPayload' : 'badResult';
}

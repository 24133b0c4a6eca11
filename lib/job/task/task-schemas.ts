import type {StandardSchemaV1} from '@standard-schema/spec';
import {FaenaError} from '../../support/errors.ts';
import {expected} from '../checks.ts';
import {isObject, read} from '../error-record.ts';

/** The schemas of a task: of its payload and of its result. */
export interface TaskSchemas {
	readonly input?: StandardSchemaV1;
	readonly output?: StandardSchemaV1;
}

// biome-ignore lint/suspicious/noExplicitAny: a task, or a function for several of its jobs
type Run = (payload: any, context: any) => unknown;

type Code = 'InvalidPayload' | 'InvalidResult';

/** More problems than this are not named. */
const MAX_ISSUES = 5;

export function isSchema(value: unknown): StandardSchemaV1 {
	if (typeof (value as Partial<StandardSchemaV1> | undefined)?.['~standard']?.validate === 'function') return value as StandardSchemaV1;
	throw expected('a schema of Zod, Valibot, ArkType or another library of Standard Schema', value);
}

/** The task, with checks of its payload before it starts, and of its result. With a `batchSize`, each job of a call is checked for itself. */
export function withSchemas(run: Run, {input, output}: TaskSchemas, isBatch: boolean): Run {
	const take = async (payload: unknown) => (input ? check(run.name, 'InvalidPayload', input, payload) : payload);
	const give = async (result: unknown) => (output && !(result instanceof Error) ? check(run.name, 'InvalidResult', output, await result) : result);
	if (!isBatch) return async (payload, context) => give(await run(await take(payload), context));
	return async (payloads: readonly unknown[], contexts: unknown) => {
		const taken = await Promise.allSettled(payloads.map(take));
		const good = taken.flatMap(each => (each.status === 'fulfilled' ? [each.value] : []));
		const isGood = (_: unknown, index: number) => taken[index]?.status === 'fulfilled';
		const results = good.length > 0 ? await run(good, (contexts as never[]).filter(isGood) as never) : [];
		if (!Array.isArray(results) || results.length !== good.length) return results;
		return taken.map(each => (each.status === 'fulfilled' ? give(results.shift()) : each.reason));
	};
}

async function check(task: string, code: Code, schema: StandardSchemaV1, value: unknown): Promise<unknown> {
	return accepted(task, code, await schema['~standard'].validate(value));
}

/** Checks a payload that is to be enqueued, unless its schema answers only later: then the worker does. @throws FaenaError `InvalidPayload` */
export function checkInput(task: string, schema: StandardSchemaV1, payload: unknown): void {
	const result = schema['~standard'].validate(payload);
	if ('then' in result) void result.then(undefined, () => undefined);
	else accepted(task, 'InvalidPayload', result);
}

function accepted(task: string, code: Code, result: StandardSchemaV1.Result<unknown>): unknown {
	if (!result.issues) return result.value;
	const problems = result.issues.slice(0, MAX_ISSUES).map(({message, path = []}) => {
		const place = path.map(part => String(typeof part === 'object' ? part.key : part)).join('.');
		return place === '' ? message : `${place}: ${message}`;
	});
	const more = result.issues.length > MAX_ISSUES ? `; and ${result.issues.length - MAX_ISSUES} more` : '';
	const what = `${code === 'InvalidPayload' ? 'The payload' : 'The result'}${task === '' ? '' : ` of task ${task}`}`;
	throw new FaenaError(code, `${what} is not what its schema expects: ${problems.join('; ')}${more}`);
}

/** The reason of a failure by the code of its error: a task's own library may be another copy of this one. */
export function reasonOf(error: unknown): 'badPayload' | 'badResult' | 'threw' {
	const code = isObject(error) && read(error, 'name') === 'FaenaError' ? read(error, 'code') : undefined;
	return code === 'InvalidPayload' ? 'badPayload' : code === 'InvalidResult' ? 'badResult' : 'threw';
}

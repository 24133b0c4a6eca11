import {setTimeout as sleep} from 'node:timers/promises';
import {type TaskContext, task} from '../../../lib/index.ts';

interface Payload {
	readonly token: string;
	readonly ms: number;
	/** So many attempts fail. */
	readonly fails: number;
}

export const echo = task(
	async ({token, ms, fails}: Payload, ctx): Promise<string> => {
		if (ms > 0) await sleep(ms);
		if (ctx.job.attempts < fails) throw new Error('not yet');
		return `${token}#`;
	},
	{maxAttempts: 5},
);

/** Returns its token if the results of its parents are these. */
export function join({token, results}: {readonly token: string; readonly results: readonly string[]}, ctx: TaskContext): string {
	if (JSON.stringify(ctx.results) !== JSON.stringify(results)) throw new Error(`${token} got ${JSON.stringify(ctx.results)}`);
	return `${token}#`;
}

interface Spread {
	readonly token: string;
	/** Of the jobs that it enqueues. */
	readonly parents: readonly string[];
	/** Of one that waits for those. */
	readonly child: string;
}

export function spread({token, parents, child}: Spread, ctx: TaskContext): string {
	const dependsOn = parents.map(each => ctx.enqueue('echo', {token: each, ms: 0, fails: 0}));
	ctx.enqueue('join', {token: child, results: parents.map(each => `${each}#`)}, {dependsOn});
	return `${token}#`;
}

export function other(): void {}

export function same(value: number): number {
	return value;
}

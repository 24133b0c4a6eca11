import {setTimeout as sleep} from 'node:timers/promises';
import {task} from '../../../lib/index.ts';

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

export function other(): void {}

export function same(value: number): number {
	return value;
}

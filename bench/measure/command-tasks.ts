import type {TaskContext} from '../../lib/index.ts';

export async function start(command: string, ctx: TaskContext): Promise<void> {
	await ctx.exec(command);
}

export function nothing(_file: string): void {}

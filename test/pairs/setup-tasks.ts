/** A task whose workers are set up, which fails while the file `broken` is there. */
import {appendFileSync, existsSync} from 'node:fs';
import {join} from 'node:path';
import {task} from '../../lib/job/task/make-task.ts';
import type {TaskContext} from '../../lib/job/task/task.ts';

export {command, echo} from './tasks.ts';

const path = (name: string) => join(process.env['PAIR'] as string, name);
const note = (line: string) => appendFileSync(path('ran'), `${line}\n`);

/** Returns the process in which its worker was set up. */
export const ready = task((_: unknown, {resource}: TaskContext<{resource: number}>) => resource, {
	setup() {
		note('setup');
		if (existsSync(path('broken'))) throw new Error('broken');
		return process.pid;
	},
	teardown: () => note('teardown'),
});

/** As {@link ready}; once its payload is `crash`, it ends its worker. */
export const fragile = task(
	(payload: unknown) => {
		if (payload === 'crash' && !existsSync(path('crashed'))) {
			appendFileSync(path('crashed'), '');
			process.exit(3);
		}
		return payload;
	},
	{setup: () => note('setup fragile'), maxAttempts: 2, backoff: 0},
);

/** Tasks that need more than there is, of memory or of places. */
import {appendFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {task} from '../../lib/job/task/make-task.ts';

const note = (line: string) => appendFileSync(join(process.env['PAIR'] as string, 'ran'), `${line}\n`);

export const huge = task(
	async (name: string) => {
		note('+1');
		await sleep(5);
		note('-');
		return name;
	},
	{memory: 2 ** 50},
);

export const limited = task(
	(what: 'crash' | 'loop' | 'well') => {
		if (what === 'crash') process.exit(3);
		while (what === 'loop');
		return what;
	},
	{concurrency: 1},
);

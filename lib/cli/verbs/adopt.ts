import type {Command} from 'commander';
import {FaenaError} from '../../internal/words.ts';
import {queueCommand, useQueue} from '../flags/queue-flag.ts';
import {inLine} from '../terminal/controls.ts';
import {print} from '../terminal/print.ts';

export function addAdopt(program: Command): void {
	queueCommand(program, 'adopt')
		.summary('give the jobs of a scope that no program has any more to another one')
		.description(
			'A job is run only by programs of its scope: its package and module, and for faena map the folder and --env. When these have new names, the jobs of ' +
				'before wait. This gives them to the new scope. faena doctor says which scopes wait; faena show prints the scope of a job.',
		)
		.requiredOption('--from <scope>', 'the scope that the jobs have')
		.requiredOption('--to <scope>', 'the scope that they get')
		.addHelpText('after', "\nExample:\n  faena adopt --from 'shop/thumbnails' --to 'shop/images'")
		.action(({queue: file, from, to}: Readonly<Record<'queue' | 'from' | 'to', string>>) =>
			useQueue(file, async queue => {
				if (!(await queue.adopt(from, to))) throw new FaenaError('BadOption', `No job of the queue has the scope ${JSON.stringify(from)}.`);
				await print(`The jobs of ${inLine(from)} are those of ${inLine(to)} now.\n`);
			}),
		);
}

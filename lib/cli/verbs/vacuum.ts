import type {Command} from 'commander';
import {kindOf} from '../../internal/words.ts';
import {type Vacuumed, vacuum} from '../../queue.ts';
import {assertExists, queueCommand} from '../flags/queue-flag.ts';
import {megabytes, print, toJson} from '../terminal/print.ts';

export function addVacuum(program: Command): void {
	queueCommand(program, 'vacuum', 'SQLite file of the jobs')
		.summary('give the space of deleted jobs back to the disk')
		.description(
			'Makes the file of a queue smaller: writes its content anew, without the space of deleted jobs. ' +
				'It needs free space of up to twice the content. Engines on the queue wait with their writes; ' +
				'with more than 256 MiB of content they must be closed first.',
		)
		.option('--json', 'print one line of JSON')
		.action(async ({queue: file, json}: {readonly queue: string; readonly json?: true}) => {
			if (kindOf(file).hasFiles) await assertExists(file);
			const sizes = await vacuum(file);
			await print(json ? `${toJson(sizes)}\n` : describe(file, sizes));
		});
}

function describe(file: string, {beforeBytes, afterBytes, laterBytes}: Vacuumed): string {
	const later = laterBytes === undefined ? '' : `; ${megabytes(laterBytes)} once no program reads its old content, with the next checkpoint of an engine`;
	return `${file}: ${megabytes(beforeBytes)} before, ${megabytes(afterBytes)} now${later}\n`;
}

import type {Command} from 'commander';
import {kindOf} from '../../internal/words.ts';
import {backup} from '../../queue.ts';
import {assertExists, queueCommand} from '../flags/queue-flag.ts';
import {inLine} from '../terminal/controls.ts';
import {counted, megabytes, print, printError} from '../terminal/print.ts';

export function addBackup(program: Command): void {
	queueCommand(program, 'backup', 'SQLite file of the jobs')
		.summary('copy a queue, also while programs use it')
		.description(
			'Copies a queue to a new file, and its large results to the folder FILE-blobs beside it. The copy is one moment of the queue; programs on it go on ' +
				'meanwhile. Jobs that run are pending in the copy. It never writes over a file.\n' +
				'Of a queue on PostgreSQL, make a backup with pg_dump.',
		)
		.argument('<file>', 'path of the copy')
		.action(async (target: string, {queue: file}: {readonly queue: string}) => {
			if (kindOf(file).hasFiles) await assertExists(file);
			const {bytes, results, missingResults} = await backup(file, target);
			const more = results === 0 ? '' : ` and ${counted(results, 'large result')}`;
			await print(`${inLine(target)}: ${megabytes(bytes)}${more}\n`);
			if (missingResults > 0)
				printError(`Files are missing in ${inLine(file)}-blobs: those of ${counted(missingResults, 'large result')}. The copy lacks them, too.`);
		});
}

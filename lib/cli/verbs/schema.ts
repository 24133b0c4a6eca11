import {type Command, Option} from 'commander';
import {type InspectedSchema, schemaSql} from '../../internal/api.ts';
import {bad, kindOf, shownLocation} from '../../internal/words.ts';
import type {JobQueue} from '../../queue.ts';
import {assertExists, queueCommand, useQueue} from '../flags/queue-flag.ts';
import {print, recordJson} from '../terminal/print.ts';
import {describeSchema} from './doctor.ts';

export function addSchema(program: Command): void {
	queueCommand(program, 'schema')
		.summary("show the version of a queue's tables, or print the SQL that makes or upgrades them")
		.description(
			'Shows the version of the tables of a queue and, on PostgreSQL, the releases of Faena whose functions are there. With --print it prints the SQL that makes ' +
				'a queue on PostgreSQL, or prepares it for this release, for the owner of its schema to run: psql -v ON_ERROR_STOP=1 -f FILE. It connects to no server, and the SQL changes nothing that is there already.',
		)
		.option('--print', 'print the SQL; --queue names the schema, by default faena')
		.addOption(new Option('--json', 'print one line of JSON').conflicts('print'))
		.action(async ({queue, print: prints, json}: {readonly queue: string; readonly print?: true; readonly json?: true}, command: Command) => {
			if (prints) {
				const isGiven = command.getOptionValueSource('queue') !== 'default';
				if (isGiven && kindOf(queue).hasFiles)
					throw bad(`--print is for a queue on PostgreSQL, and ${queue} is a file. An engine makes and upgrades a file by itself`);
				return print(await schemaSql(isGiven ? queue : 'postgres://'));
			}
			await assertExists(queue);
			const look = async ({store: {schemaVersion: version}}: JobQueue): Promise<InspectedSchema> => ({version});
			const schema = kindOf(queue).hasFiles ? await useQueue(queue, look, {readOnly: true}) : (await kindOf(queue).inspect(queue)).schema;
			await print(json ? `${recordJson({queue: shownLocation(queue), ...schema})}\n` : `${shownLocation(queue)}: ${describeSchema(schema)}\n`);
		});
}

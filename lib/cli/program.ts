import {Command, Option} from 'commander';
import {FaenaError} from '../index.ts';
import {bad} from '../job/checks.ts';
import {addBackup} from './backup.ts';
import {addBench} from './bench.ts';
import {addCancel, addRetry} from './cancel-and-retry.ts';
import {addDelete} from './delete.ts';
import {addDoctor} from './doctor.ts';
import {addEnqueue} from './enqueue.ts';
import {describeExitCodes} from './exit-codes.ts';
import {addFlow} from './flow.ts';
import {type SourceGroups, splitArguments} from './inputs/arguments.ts';
import {addList} from './list.ts';
import {addLogs} from './logs.ts';
import {addMap} from './map.ts';
import {addPause, addResume} from './pause-and-resume.ts';
import {escapeControls, explain} from './print.ts';
import {addPrune} from './prune.ts';
import {addSchedule, addSchedules} from './schedules.ts';
import {addShow} from './show.ts';
import {addBatches, addStatus} from './status-and-batches.ts';
import {addVacuum} from './vacuum.ts';
import {version} from './version.ts';
import {addWork} from './work.ts';

/** Runs a command, given as a shell has split it, without `faena`. Sets the exit code of the process. */
export async function run(words: readonly string[]): Promise<void> {
	try {
		const {words: given, groups} = splitArguments(words);
		if (groups.length > 0 && given[0] !== 'map') throw bad('::: and its like name the input of faena map; no other command has one.');
		await makeProgram(groups).parseAsync(given, {from: 'user'});
	} catch (error) {
		process.exitCode = explain(error);
	}
}

/** In the order in which help lists them: to run jobs, to look, to change, to care for the queue. */
const COMMANDS: readonly ((program: Command, groups: SourceGroups) => void)[] = [
	...[addMap, addWork, addEnqueue],
	...[addStatus, addBatches, addList, addShow, addLogs, addFlow, addSchedules, addDoctor],
	...[addSchedule, addCancel, addRetry, addPause, addResume, addPrune, addDelete],
	...[addBackup, addVacuum, addBench],
];

/** All commands, with what parses their arguments. docs/cli.md is made of it. */
export function makeProgram(groups: SourceGroups = []): Command {
	const program = new Command('faena')
		.description('Durable parallel execution of CPU-bound work. You can kill it at any time. Start it again, and it continues where it left off.')
		.version(version)
		.addHelpText('after', () => describeExitCodes())
		.exitOverride()
		.configureOutput({outputError: (text, write) => write(escapeControls(text.replace(/^error: /, 'faena: ').replace('\n(', ' (')))});
	for (const add of COMMANDS) add(program, groups);
	for (const command of program.commands) {
		refuseRenamedFlags(command);
		command.addHelpText('after', describeExitCodes(command.name()));
	}
	return program;
}

/** Former flags of each command, and their new names. */
export const RENAMED_FLAGS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
	map: {'--attempts': '--max-attempts', '--lines': '--stdin'},
	bench: {'--lines': '--stdin'},
};

/** Makes a command refuse its former flags with a message that names the new one. */
function refuseRenamedFlags(command: Command): void {
	for (const [flag, now] of Object.entries(RENAMED_FLAGS[command.name()] ?? {})) {
		command.addOption(new Option(`${flag} [value]`).hideHelp());
		command.on(`option:${flag.slice(2)}`, () => {
			throw new FaenaError('BadOption', `${flag} of faena ${command.name()} is now called ${now}.`);
		});
	}
}

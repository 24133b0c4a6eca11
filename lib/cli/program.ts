import {Command} from 'commander';
import {bad, version} from '../internal/words.ts';
import {describeExitCodes} from './exit-codes.ts';
import {type SourceGroups, splitArguments} from './map/inputs/arguments.ts';
import {refuseFlag} from './refuse-flag.ts';
import {escapeControls} from './terminal/controls.ts';
import {explain} from './terminal/print.ts';

/** Runs a command, given as a shell has split it, without `faena`. Sets the exit code of the process. */
export async function run(words: readonly string[]): Promise<void> {
	try {
		const {words: given, groups} = splitArguments(words);
		if (groups.length > 0 && given[0] !== 'map') throw bad('::: and its like name the input of faena map; no other command has one.');
		const own = Object.entries(OTHER_WORDS).find(([, others]) => others.split(' ').includes(given[0] ?? ''))?.[0];
		if (own !== undefined) throw bad(`There is no command ${given[0]}; it is called faena ${own}`);
		const program = await makeProgram(groups, given[0]);
		await program.parseAsync(given, {from: 'user'});
	} catch (error) {
		process.exitCode = explain(error);
	}
}

/** What other tools call a command. */
const OTHER_WORDS = {
	cleanup: 'prune clean purge',
	cancel: 'stop kill abort',
	delete: 'rm remove',
	list: 'ls jobs',
	status: 'ps stats',
	enqueue: 'add',
	map: 'run',
	work: 'worker',
};

type Add = (program: Command, groups: SourceGroups) => void;

/**
 * In the order in which help lists them: to run jobs, to look, to change, to care for the queue. The code of a command is loaded when it is called, since to
 * load all of it would take a good part of the time in which a short map is done.
 */
const COMMANDS: Readonly<Record<string, () => Promise<Add>>> = {
	map: async () => (await import('./map/map.ts')).addMap,
	work: async () => (await import('./verbs/work.ts')).addWork,
	enqueue: async () => (await import('./verbs/enqueue.ts')).addEnqueue,
	status: async () => (await import('./verbs/status-and-batches.ts')).addStatus,
	batches: async () => (await import('./verbs/status-and-batches.ts')).addBatches,
	list: async () => (await import('./verbs/list.ts')).addList,
	show: async () => (await import('./verbs/show.ts')).addShow,
	logs: async () => (await import('./verbs/logs.ts')).addLogs,
	flow: async () => (await import('./verbs/flow.ts')).addFlow,
	schedules: async () => (await import('./verbs/schedules.ts')).addSchedules,
	doctor: async () => (await import('./verbs/doctor.ts')).addDoctor,
	schedule: async () => (await import('./verbs/schedules.ts')).addSchedule,
	cancel: async () => (await import('./verbs/cancel-and-retry.ts')).addCancel,
	retry: async () => (await import('./verbs/cancel-and-retry.ts')).addRetry,
	pause: async () => (await import('./verbs/pause-and-resume.ts')).addPause,
	resume: async () => (await import('./verbs/pause-and-resume.ts')).addResume,
	adopt: async () => (await import('./verbs/adopt.ts')).addAdopt,
	cleanup: async () => (await import('./verbs/cleanup.ts')).addCleanup,
	delete: async () => (await import('./verbs/delete.ts')).addDelete,
	schema: async () => (await import('./verbs/schema.ts')).addSchema,
	backup: async () => (await import('./verbs/backup.ts')).addBackup,
	move: async () => (await import('./verbs/move.ts')).addMove,
	vacuum: async () => (await import('./verbs/vacuum.ts')).addVacuum,
	bench: async () => (await import('./verbs/bench.ts')).addBench,
};

/** All commands, with what parses their arguments, or the one that is called. docs/cli.md is made of it. */
export async function makeProgram(groups: SourceGroups = [], called?: string): Promise<Command> {
	const program = new Command('faena')
		.description('Durable parallel execution of CPU-bound work. You can kill it at any time. Start it again, and it continues where it left off.')
		.version(version)
		.addHelpText('after', () => describeExitCodes())
		.exitOverride()
		.configureOutput({outputError: (text, write) => write(escapeControls(text.replace(/^error: /, 'faena: ').replace('\n(', ' (')))});
	const isOne = called !== undefined && Object.hasOwn(COMMANDS, called);
	for (const [name, load] of Object.entries(COMMANDS)) if (!isOne || name === called) (await load())(program, groups);
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
	for (const [flag, now] of Object.entries(RENAMED_FLAGS[command.name()] ?? {}))
		refuseFlag(command, flag, `${flag} of faena ${command.name()} is now called ${now}.`);
}

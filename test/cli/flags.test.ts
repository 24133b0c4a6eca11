/** Options of the library and flags of the command line have the same names. What has no flag has a reason. */
import test from 'ava';
import {MAP_CHECKS} from '../../lib/api/maps/map-options.ts';
import {OPEN_CHECKS} from '../../lib/api/open-options.ts';
import {makeProgram} from '../../lib/cli/program.ts';
import {JOB_CHECKS, SEARCH_CHECKS} from '../../lib/job/options.ts';

const IN_CODE = 'a function or an object of the program';
const OF_TASK = 'task() has it, for each job of the task';
const OF_COMMAND = 'the command itself decides it';

/** By command: the options that it takes from the library, and why some have no flag. */
const COMMANDS: Readonly<Record<string, {readonly options: readonly string[]; readonly without: Readonly<Record<string, string>>}>> = {
	work: {
		options: Object.keys(OPEN_CHECKS),
		without: {
			tasks: 'the argument',
			scope: 'that of the module and of the folder',
			...{defaults: OF_TASK, logger: IN_CODE, resourceLimits: 'NODE_OPTIONS has it', execArgv: 'NODE_OPTIONS has it'},
			...{closeOnSignals: OF_COMMAND, taskOutput: OF_COMMAND, maxPending: 'it limits who enqueues, and this command only runs jobs'},
		},
	},
	map: {
		options: [...Object.keys(MAP_CHECKS), ...Object.keys(JOB_CHECKS), ...Object.keys(OPEN_CHECKS)],
		without: {
			...{tasks: 'the argument', only: 'the argument names one task', scope: 'that of the module and of the folder', payload: 'an item is the payload'},
			...{files: 'task() has it; lines and globs are files by --fresh content', window: 'as needed', signal: 'Ctrl-C'},
			...{onComplete: 'what follows the command in the shell', priority: OF_TASK, backoff: OF_TASK, retry: OF_TASK, onDead: OF_TASK},
			...{
				runAt: 'at and cron have it',
				expires: 'the command waits for its jobs',
				unique: 'an item is its only job',
				dependsOn: 'a pipe of the shell',
				onParentDead: 'see dependsOn',
			},
			...{defaults: OF_TASK, logger: IN_CODE, resourceLimits: 'NODE_OPTIONS has it', execArgv: 'NODE_OPTIONS has it'},
			...{closeOnSignals: OF_COMMAND, taskOutput: OF_COMMAND, maxPending: 'a map holds back by itself'},
		},
	},
	enqueue: {
		options: Object.keys(JOB_CHECKS),
		without: {backoff: OF_TASK, retry: OF_TASK, runAt: '--delay', onParentDead: 'a job that is enqueued by hand is cancelled with its parent'},
	},
	list: {options: Object.keys(SEARCH_CHECKS), without: {ids: 'faena show'}},
	cancel: {options: ['ids', 'task', 'batch', 'status', 'key'], without: {ids: 'the argument', key: 'faena list --key has the id'}},
	retry: {options: ['ids', 'task', 'batch', 'status', 'key', 'stale'], without: {ids: 'the argument', key: 'faena list --key has the id'}},
	cleanup: {options: ['olderThan', 'ids'], without: {ids: 'they would have to be looked up; --status and --task select'}},
};

for (const [name, {options, without}] of Object.entries(COMMANDS))
	test(`faena ${name}: each option of the library has a flag of its name, or a reason to have none`, async t => {
		const program = await makeProgram([], name);
		const known = program.commands.find(command => command.name() === name)?.options ?? [];
		// A flag that is refused with a sentence is hidden.
		const flags = new Set(known.filter(({hidden}) => !hidden).map(option => option.attributeName()));
		t.true(flags.size > 3);
		const flagless = [...new Set(options)].filter(option => !flags.has(option)).sort();
		t.deepEqual(flagless, Object.keys(without).sort());
	});

import {existsSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import type {Command} from 'commander';
import type {EngineStats} from '../../index.ts';
import {closeOnSignals, open} from '../../internal/api.ts';
import {bad, canRedraw, NO_JOBS, showLine, shownLocation, statusSummary} from '../../internal/words.ts';
import type {TaskCounts} from '../../store.ts';
import {addEngineFlags, type EngineFlags, toOpenOptions} from '../flags/engine-flags.ts';
import {toNames} from '../flags/flag-values.ts';
import {useQueue} from '../flags/queue-flag.ts';
import {ENV_HELP, toEnv} from '../map/map-flags.ts';
import {scopesIn} from '../scopes.ts';
import {inLine} from '../terminal/controls.ts';
import {clock, count, formatRate, printError} from '../terminal/print.ts';
import {cut} from '../terminal/table.ts';

interface Flags extends EngineFlags {
	readonly only?: readonly string[];
	readonly env?: Readonly<Record<string, string>>;
}

export function addWork(program: Command): void {
	const command = program
		.command('work')
		.summary('run the jobs of a queue as they arrive, until a signal')
		.description(
			"Runs the jobs of a module's tasks as they arrive, also those of other programs, of schedules and of faena enqueue; of faena map only those of the same " +
				'folder and --env. On a terminal a line shows how it ' +
				'goes. Ctrl-C or SIGTERM ends it in good order: it starts no more jobs, lets those that run finish for the time of --drain, and stops the rest, ' +
				'which will run again. A second signal does not wait.',
		)
		.argument('<module>', "module whose exported functions are the tasks, for instance './tasks.ts'");
	addEngineFlags(command)
		.option('--env <name=value>', ENV_HELP, toEnv)
		.option('--only <names>', 'run only jobs of these tasks, with commas between (default: all of the module)', toNames)
		.addHelpText(
			'after',
			"\nExamples:\n  faena work ./tasks.ts\n  faena work ./tasks.ts --only thumbnail,resize -j 2 --queue 'postgres://me@db/jobs' --retention completed=7d",
		)
		.action(work);
}

/** How it goes. */
interface Status {
	/** Of the jobs that it may run; other programs may run some of them. */
	readonly counts: readonly TaskCounts[];
	readonly stats: EngineStats;
}

/** A failure of the engine is noticed within this time. */
const LOOK_EVERY_MS = 1000;

async function work(module: string, {only, env = {}, ...flags}: Flags): Promise<void> {
	const [, file, name] = /^(.+)#(\w+)$/.exec(module) ?? [];
	if (file !== undefined && !existsSync(module)) throw bad(`faena work runs the tasks of a module; write ${file} --only ${name}.`);
	const [ofFolder, ofModule] = scopesIn(module, env);
	const engine = await open({
		...toOpenOptions(flags),
		...(only && {only}),
		...{tasks: module, scope: [ofModule, ofFolder], env, taskOutput: 'stderr', closeOnSignals: true},
	});
	engine.on('dead', ({id, error}) => printError(`Job ${id} is dead: ${inLine(error.message)}`));
	let status: Status | undefined;
	let isStopping = false;
	const hasLine = canRedraw(process.stderr);
	// The terminal echoes ^C behind it.
	const endLine = hasLine ? showLine(width => cut(status ? describe(status, isStopping) : 'starting', width - 3)) : () => {};
	printError(`Runs jobs of ${only ? `${only.map(inLine).join(', ')} of ` : ''}${inLine(module)} in ${shownLocation(flags.queue)}. Ctrl-C ends it.`);
	const end = async () => {
		await engine.close();
		endLine();
		printError(`Stopped. ${await whatIsLeft(flags.queue)}`);
	};
	let ending: Promise<void> | undefined;
	closeOnSignals({
		close: () => {
			if (!hasLine && !isStopping) printError('Stopping: it waits for running jobs, and starts no more. A second signal does not wait.');
			isStopping = true;
			ending ??= end();
			return ending;
		},
	});
	try {
		for (;;) {
			status = {counts: (await engine.taskCounts()).own, stats: await engine.stats()};
			await sleep(LOOK_EVERY_MS);
		}
	} catch (error) {
		// The engine is closed. The signal ends this process as soon as that is said.
		if (isStopping) await new Promise(() => {});
		endLine();
		// If closing fails, it fails for the same reason.
		await engine.close().catch(() => undefined);
		throw error;
	}
}

async function whatIsLeft(queue: string): Promise<string> {
	const counts = await useQueue(queue, opened => opened.counts(), {readOnly: true});
	const left = statusSummary({...counts, completed: 0, dead: 0, cancelled: 0});
	return left === statusSummary(NO_JOBS) ? 'No jobs are left.' : `Left in the queue: ${left}. The same command goes on with those of its scope.`;
}

/** For instance `2 running, 120 pending  112/s  1,204 completed, 2 dead  up 1:02:30`. */
function describe({counts, stats: {executions, completedPerSecond, uptimeMs}}: Status, isStopping: boolean): string {
	const sum = (of: (each: TaskCounts) => number) => count(counts.reduce((jobs, each) => jobs + of(each), 0));
	const waiting = sum(each => each.blocked + each.ready + each.quarantined + each.delayed + each.failed);
	const parts = [
		isStopping && 'stopping (Ctrl-C again: at once)',
		`${sum(each => each.running)} running, ${waiting} waiting`,
		completedPerSecond > 0 && formatRate(completedPerSecond),
		`${count(executions.completed)} completed${executions.dead > 0 ? `, ${count(executions.dead)} dead` : ''}`,
		`up ${clock(uptimeMs / 1000)}`,
	];
	return parts.filter(Boolean).join('  ');
}

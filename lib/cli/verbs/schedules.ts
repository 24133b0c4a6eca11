import {type Command, Option} from 'commander';
import type {JobId} from '../../index.ts';
import {changeExisting, findSchedule, nextMoments, resumeSchedule, type ScheduleVerbs, toScheduleInfo} from '../../internal/api.ts';
import {FaenaError, type Schedule, type ScheduleResult, shownLocation} from '../../internal/words.ts';
import type {JobQueue} from '../../queue.ts';
import {ExitCode} from '../exit-codes.ts';
import {toCount} from '../flags/flag-values.ts';
import {queueCommand, useQueue} from '../flags/queue-flag.ts';
import {inLine} from '../terminal/controls.ts';
import {count, formatTime, print, recordJson, toJson} from '../terminal/print.ts';
import {table} from '../terminal/table.ts';

export function addSchedules(program: Command): void {
	queueCommand(program, 'schedules')
		.summary('list the schedules of a queue, with their next moments')
		.description('Lists the schedules of a queue: their times, the next moment, and how the last job ended.')
		.option('--json', 'print a line of JSON for each')
		.action(async ({queue: file, json}: {readonly queue: string; readonly json?: true}) => {
			const list = async (queue: JobQueue) => {
				const schedules = await queue.store.schedules();
				if (json) return schedules.map(schedule => `${recordJson(toScheduleInfo(schedule))}\n`).join('');
				if (schedules.length === 0) return `${shownLocation(file)}: no schedules\n`;
				return table(await Promise.all(schedules.map(schedule => describeOne(queue, schedule))));
			};
			await print(await useQueue(file, list, {readOnly: true}));
		});
}

interface Flags {
	readonly queue: string;
	readonly next?: number;
	readonly pause?: true;
	readonly resume?: true;
	readonly run?: true;
	readonly delete?: true;
	readonly json?: true;
}

const ACTIONS = ['pause', 'resume', 'run', 'delete'] as const;

export function addSchedule(program: Command): void {
	queueCommand(program, 'schedule')
		.summary('show a schedule; pause, resume, run or delete it')
		.description('Shows a schedule with its next moments, or changes it. A program makes schedules, by faena.setSchedule().')
		.argument('<name>', 'name of the schedule')
		.option('--next <count>', 'how many of the next moments to show', toCount)
		.option('--pause', 'enqueue nothing from now on')
		.option('--resume', 'end a pause')
		.option('--run', 'enqueue a job at once')
		.option('--delete', 'delete the schedule; its jobs stay')
		.addOption(new Option('--json', 'print one line of JSON').conflicts([...ACTIONS]))
		.action(async (name: string, flags: Flags) => {
			const actions = ACTIONS.filter(action => flags[action]);
			if (actions.length > 1) throw new FaenaError('BadOption', `Give one of --${actions.join(' and --')}.`);
			const [action] = actions;
			const use = async (queue: JobQueue) => (action ? change(queue, name, action) : {text: await show(queue, name, flags), exitCode: ExitCode.done});
			const {text, exitCode} = await useQueue(flags.queue, use, {readOnly: action === undefined});
			await print(text);
			process.exitCode = exitCode;
		});
}

function verbsOf({store}: JobQueue): ScheduleVerbs {
	return {
		list: () => store.schedules(),
		change: async change => (await store.commit({schedule: [change]})).scheduled?.[0] as ScheduleResult,
		now: async () => store.now(),
	};
}

async function change(queue: JobQueue, name: string, action: (typeof ACTIONS)[number]): Promise<{readonly text: string; readonly exitCode: number}> {
	const verbs = verbsOf(queue);
	const shown = JSON.stringify(name);
	if (action === 'resume') await resumeSchedule(verbs, name);
	const ids: readonly JobId[] = action === 'resume' ? [] : await changeExisting(verbs, {type: action, name});
	if (action !== 'run') return {text: `${PAST[action]} the schedule ${shown}\n`, exitCode: ExitCode.done};
	if (ids[0] !== undefined) return {text: `enqueued job ${ids[0]}\n`, exitCode: ExitCode.done};
	return {text: `The last job of ${shown} has not ended, so none was enqueued.\n`, exitCode: ExitCode.someFailed};
}

const PAST = {pause: 'paused', resume: 'resumed', delete: 'deleted'} as const;

const MOMENTS = 5;

async function show(queue: JobQueue, name: string, {next = MOMENTS, json}: Flags): Promise<string> {
	const schedule = await findSchedule(verbsOf(queue), name);
	if (!schedule) throw new FaenaError('NoSuchSchedule', `There is no schedule ${JSON.stringify(name)} in ${queue.location}; faena schedules lists them.`);
	const moments = await nextMoments(schedule, next);
	const info = toScheduleInfo(schedule);
	if (json) return `${recordJson({...info, moments: moments.map(formatTime)})}\n`;
	const {runs, skipped, missed} = schedule;
	const rows = [
		['schedule', `${inLine(name)}${schedule.isPaused ? '  paused' : ''}`],
		['task', inLine(schedule.spec.task)],
		['times', describeTimes(schedule)],
		['payload', toJson(info.payload)],
		['moments', `${count(runs)} with a job, ${count(skipped)} skipped, ${count(missed)} missed`],
		['last', await describeLast(queue, schedule)],
		['next', moments.map(formatTime).join(`\n${' '.repeat(INDENT)}`) || 'none'],
	];
	return rows.map(([label = '', text]) => `${label.padEnd(INDENT)}${text}\n`).join('');
}

const INDENT = 12;

function describeTimes({spec: {timing, catchUp, overlap, jitterMs, until}}: Schedule): string {
	const times =
		'cron' in timing ? `${timing.cron} in ${timing.timezone}` : `every ${timing.everyMs / 1000} s${timing.from === 'end' ? ' from the end of the last' : ''}`;
	const more = [jitterMs > 0 && `jitter ${jitterMs / 1000} s`, `catchUp ${catchUp}`, `overlap ${overlap}`, until !== null && `until ${formatTime(until)}`];
	return [inLine(times), ...more.filter(Boolean)].join(', ');
}

async function describeLast(queue: JobQueue, {lastJobId, lastAt}: Schedule): Promise<string> {
	if (lastJobId === null || lastAt === null) return 'none';
	const job = await queue.job(lastJobId);
	return `${formatTime(lastAt)}  job ${lastJobId} ${job?.status ?? 'deleted'}`;
}

/** Name, times, next moment and last job. */
async function describeOne(queue: JobQueue, schedule: Schedule): Promise<readonly string[]> {
	const {name, spec, nextAt, isPaused} = schedule;
	const times = 'cron' in spec.timing ? `${spec.timing.cron} ${spec.timing.timezone}` : `every ${spec.timing.everyMs / 1000} s`;
	const next = isPaused
		? 'paused'
		: nextAt === null
			? 'from' in spec.timing && spec.timing.from === 'end'
				? 'next after its job ends'
				: 'no next moment'
			: `next ${formatTime(nextAt)}`;
	return [inLine(name), inLine(spec.task), inLine(times), next, `last ${await describeLast(queue, schedule)}`];
}

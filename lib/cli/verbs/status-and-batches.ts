import type {Command} from 'commander';
import type {BatchInfo, Job} from '../../index.ts';
import {type InspectedMove, toBatchInfo} from '../../internal/api.ts';
import {bad, defined, describeStages, kindOf, shownLocation, statusSummary} from '../../internal/words.ts';
import type {JobQueue} from '../../queue.ts';
import {batchOf, queueCommand, useQueue} from '../flags/queue-flag.ts';
import {inLine} from '../terminal/controls.ts';
import {clock, count, formatRate, formatTime, print, recordJson} from '../terminal/print.ts';
import {cut, outputWidth, table} from '../terminal/table.ts';
import {redraw} from '../terminal/watch.ts';
import {describeName, describeState} from './list.ts';

export function addStatus(program: Command): void {
	queueCommand(program, 'status')
		.summary('count jobs by status; list those that run or died')
		.description(
			'Prints the number of jobs in each status, and lists running jobs, the oldest waiting job, and the first failed and dead ones.\n' +
				'faena list lists all.',
		)
		.option('--batch <name>', 'only the jobs of this batch')
		.option('--json', 'print one line of JSON, with up to a thousand running, failed and dead jobs each')
		.option('--watch', 'draw it again every second on the terminal, until Ctrl-C')
		.action(async ({queue: file, batch, json, watch}: StatusFlags) => {
			if (json && watch) throw bad('Give either --json or --watch.');
			const read = async (queue: JobQueue) => {
				const move = await kindOf(file).move(file);
				if (!json) return describeReport(shownLocation(file), {...(await look(queue, batch, MAX_LISTED)), move});
				const {pending, ...rest} = await look(queue, batch, MAX_IN_JSON);
				return `${recordJson({...rest, oldestPending: pending[0], ...defined({move})})}\n`;
			};
			const use = watch ? (queue: JobQueue) => redraw(() => read(queue)) : read;
			await print(await useQueue(file, use, {readOnly: true}), {hasStatuses: !json});
		});
}

interface StatusFlags {
	readonly queue: string;
	readonly batch?: string;
	readonly json?: true;
	readonly watch?: true;
}

/** The most jobs that are listed of each status: for people, and as JSON. */
const MAX_LISTED = {running: 10, failed: 3, dead: 3, pending: 1} as const;
const MAX_IN_JSON = {running: 1000, failed: 1000, dead: 1000, pending: 1} as const;

/** Counts, the names of paused tasks, and the first jobs of each status by id. */
async function look(queue: JobQueue, batch: string | undefined, most: Readonly<Record<keyof typeof MAX_LISTED, number>>) {
	const first = (status: keyof typeof most) => queue.jobs({...defined({batch}), status}).page({limit: most[status]});
	const own = batch === undefined ? undefined : await batchOf(queue, batch);
	const {held = 0} = own ?? {held: (await queue.store.counts()).reduce((jobs, each) => jobs + each.held, 0)};
	const lists = {running: await first('running'), failed: await first('failed'), dead: await first('dead'), pending: await first('pending')};
	return {counts: own?.counts ?? (await queue.counts()), held, paused: await queue.paused(), ...lists, schemaVersion: queue.store.schemaVersion};
}

interface Report extends Awaited<ReturnType<typeof look>> {
	readonly move: InspectedMove | undefined;
}

function describeReport(location: string, {counts, held, paused, move, schemaVersion: _, ...jobs}: Report): string {
	const listed = (['running', 'pending', 'failed', 'dead'] as const).flatMap(status => list(jobs[status], counts[status]));
	const lines = [
		`${location}: ${statusSummary(counts)}`,
		...(move ? [describeMove(move)] : []),
		...(held > 0 ? [`held: ${count(held)} of the pending; see faena doctor`] : []),
		...(paused.length > 0 ? [`paused: ${paused.map(inLine).join(', ')}`] : []),
		...(listed.length > 0 ? ['', ...listed] : []),
	];
	return `${lines.join('\n')}\n`;
}

/** For `faena status` and `faena doctor`. */
export function describeMove({place, isArriving}: InspectedMove): string {
	return isArriving ? `The queue arrives from ${place}, and is not whole.` : `The queue moves, or has moved, to ${place}, and can only be read.`;
}

function list(jobs: readonly Job[], total: number): string[] {
	const rows = jobs.map(job => cut(`${describeName(job)}  ${describeState(job)}`, outputWidth()));
	const more = total - jobs.length;
	return jobs.length > 0 && more > 0 ? [...rows, `${' '.repeat(10)}and ${count(more)} more`] : rows;
}

export function addBatches(program: Command): void {
	queueCommand(program, 'batches')
		.summary('list the batches of a queue, and how far each is')
		.description('Lists the batches of a queue: the jobs of each by status, how fast they end, and the time that is left.')
		.option('--json', 'print a line of JSON for each')
		.action(async ({queue: file, json}: {readonly queue: string; readonly json?: true}) => {
			const list = async (queue: JobQueue) => (await queue.batches()).map(batch => toBatchInfo(batch, queue.store.now()));
			const batches = await useQueue(file, list, {readOnly: true});
			await print(json ? batches.map(batch => `${recordJson(batch)}\n`).join('') : describeBatches(shownLocation(file), batches), {hasStatuses: !json});
		});
}

function describeBatches(file: string, batches: readonly BatchInfo[]): string {
	if (batches.length === 0) return `${file}: no batches\n`;
	return table(batches.map(batch => [inLine(batch.name), inLine(batch.task ?? batch.kind), describeBatch(batch)]));
}

/** For instance `1,204 completed, 370 pending  of 1,574  112/s  ETA 0:04`. */
function describeBatch({counts, total, stages, tasks = {}, completedAt, jobsPerSecond = 0, remainingMs}: BatchInfo): string {
	// The batch has more jobs than the last input had items if an earlier input was longer.
	const jobs = Object.values(counts).reduce((sum, each) => sum + each, 0);
	const parts = [
		stages ? describeStages(stages, tasks) : statusSummary(counts),
		total !== undefined && !stages && `of ${count(Math.max(total, jobs))}`,
		completedAt !== undefined && `done ${formatTime(completedAt)}`,
		jobsPerSecond > 0 && formatRate(jobsPerSecond),
		remainingMs !== undefined && `ETA ${clock(remainingMs / 1000)}`,
	];
	return parts.filter(Boolean).join('  ');
}

import {pipeline} from 'node:stream/promises';
import type {Counts, JobId} from '../../index.ts';
import {countFresh, NOTHING_FRESH, type PlannedMap, type Preview, previewMap} from '../../internal/api.ts';
import {kindOf, NO_JOBS, UNENDED_STATUSES} from '../../internal/words.ts';
import type {JobQueue} from '../../queue.ts';
import {useQueue} from '../flags/queue-flag.ts';
import {escapeControls} from '../terminal/controls.ts';
import {count, ExitCode, printError, toJson} from '../terminal/print.ts';
import {describeFresh} from './fresh.ts';
import type {Item} from './inputs/items.ts';
import {describeUnfinished, type RunOptions} from './map-run.ts';
import {describeCommand, type Template} from './template/template.ts';

/** A run that is not begun. */
interface PlannedRun extends Omit<PlannedMap<Item>, 'earlier'> {
	readonly queue: string;
	readonly batch: string;
	readonly missing: RunOptions['missing'];
	/** Of a command. */
	readonly template: Template | undefined;
	readonly items: Iterable<Item> | AsyncIterable<Item>;
}

/** Prints a line for each item that would run: JSON with the reason, or the command, to be pasted into a shell; then a summary. Returns the exit code. */
export async function printPreview(run: PlannedRun): Promise<number> {
	return (await kindOf(run.queue).exists(run.queue)) ? useQueue(run.queue, queue => printRun(run, queue), {readOnly: true}) : printRun(run);
}

async function printRun({batch: name, missing, template, items, ...planned}: PlannedRun, queue?: JobQueue): Promise<number> {
	const told = new PreviewCounts();
	const batch = await queue?.batch(name);
	const earlier = queue && batch && {store: queue.store, batch};
	try {
		await pipeline(linesOf(previewMap({...planned, earlier}, items), template, told), process.stdout, {end: false});
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'EPIPE') return ExitCode.noReader;
		throw error;
	}
	const {counts = NO_JOBS} = (await queue?.batch(name)) ?? {};
	printError(told.describe(counts, missing));
	return told.refused === 0 ? ExitCode.done : ExitCode.someFailed;
}

/** A worker is known only when a job starts, so `{%}` is the first one. */
const SLOT = 1;

async function* linesOf(previews: AsyncIterable<Preview<Item>>, template: Template | undefined, told: PreviewCounts): AsyncGenerator<string> {
	for await (const preview of previews) {
		told.add(preview);
		const {key, reason, item} = preview;
		if (reason === null) continue;
		if (!template) {
			yield `${toJson({key, reason})}\n`;
			continue;
		}
		try {
			yield escapeControls(`${describeCommand(template, item.payload, {sequence: item.sequence, slot: SLOT})}\n`);
		} catch (error) {
			told.refused++;
			printError(`Item ${key}: ${(error as Error).message}`);
		}
	}
}

class PreviewCounts {
	readonly #counts = {...NOTHING_FRESH, reused: 0, runs: 0};
	/** The number of items for which there is no command. */
	refused = 0;
	/** The jobs that the items have, and whether they are unfinished. */
	readonly #jobs = new Map<JobId, boolean>();

	add(preview: Preview<Item>): void {
		const {reason, isUnfinished, jobId} = preview;
		if (jobId !== null) this.#jobs.set(jobId, isUnfinished);
		this.#counts[reason === null ? 'reused' : 'runs']++;
		countFresh(this.#counts, [preview]);
	}

	/** @param before the jobs of earlier runs */
	describe(before: Counts, missing: RunOptions['missing']): string {
		const {reused, runs} = this.#counts;
		const gone = Object.values(before).reduce((sum, jobs) => sum + jobs, 0) - this.#jobs.size;
		const left = UNENDED_STATUSES.reduce((sum, status) => sum + before[status], 0) - [...this.#jobs.values()].filter(Boolean).length;
		const what = describeFresh({...this.#counts, gone});
		const rest = left > 0 ? ` ${describeUnfinished(left, missing)}` : '';
		return `Would run ${count(runs)} of ${count(runs + reused)}${what && `: ${what}`}.${rest}`;
	}
}

import {pipeline} from 'node:stream/promises';
import {type PlannedMap, type Preview, previewMap} from '../api/map-preview.ts';
import {queueExists} from '../api/queue-location.ts';
import type {JobId} from '../index.ts';
import {type Counts, NO_JOBS, UNENDED_STATUSES} from '../job/job.ts';
import type {JobQueue} from '../queue.ts';
import {escapeControls} from './controls.ts';
import {describeFresh} from './fresh.ts';
import {useQueue} from './input.ts';
import type {Item} from './inputs/items.ts';
import {describeUnfinished, type RunOptions} from './map-run.ts';
import {count, ExitCode, printError, toJson} from './print.ts';
import {describeCommand, type Template} from './template/template.ts';

/** A run that is not begun. */
interface PlannedRun extends Omit<PlannedMap<Item>, 'store'> {
	readonly queue: string;
	readonly batch: string;
	readonly missing: RunOptions['missing'];
	/** Of a command. */
	readonly template: Template | undefined;
	readonly items: Iterable<Item> | AsyncIterable<Item>;
}

/**
 * Prints a line for each item that would run: JSON with the reason, or the command, so that it can be pasted into a shell. Then prints a
 * summary. Changes nothing. Returns the exit code.
 */
export async function printPreview(run: PlannedRun): Promise<number> {
	return (await queueExists(run.queue)) ? useQueue(run.queue, queue => printRun(run, queue), {readOnly: true}) : printRun(run);
}

async function printRun({batch, missing, template, items, ...planned}: PlannedRun, queue?: JobQueue): Promise<number> {
	const told = new PreviewCounts();
	try {
		await pipeline(linesOf(previewMap({...planned, store: queue?.store}, items), template, told), process.stdout, {end: false});
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'EPIPE') return ExitCode.noReader;
		throw error;
	}
	const {counts = NO_JOBS} = (await queue?.batch(batch)) ?? {};
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

/** The counts of a preview. */
class PreviewCounts {
	/** Items by the reason for which they would run; `null`: they would not. */
	readonly #items = new Map<Preview<Item>['reason'], number>();
	#byOtherCode = 0;
	/** The number of items for which there is no command. */
	refused = 0;
	/** The jobs that the items have, and those of them that are unfinished. */
	readonly #jobs = new Set<JobId>();
	readonly #unfinished = new Set<JobId>();

	add({reason, isByOtherCode, isUnfinished, jobId}: Preview<Item>): void {
		if (jobId !== null) this.#jobs.add(jobId);
		if (jobId !== null && isUnfinished) this.#unfinished.add(jobId);
		this.#items.set(reason, this.#of(reason) + 1);
		if (isByOtherCode) this.#byOtherCode++;
	}

	#of(reason: Preview<Item>['reason']): number {
		return this.#items.get(reason) ?? 0;
	}

	/** @param before the jobs of earlier runs */
	describe(before: Counts, missing: RunOptions['missing']): string {
		const items = this.#items.values().reduce((sum, each) => sum + each, 0);
		const [reused, added] = [this.#of(null), this.#of('new')];
		// Unfinished and failed items have not changed.
		const changed = items - reused - added - this.#of('unfinished') - this.#of('failed');
		const gone = Object.values(before).reduce((sum, jobs) => sum + jobs, 0) - this.#jobs.size;
		const left = UNENDED_STATUSES.reduce((sum, status) => sum + before[status], 0) - this.#unfinished.size;
		const what = describeFresh({reused, added, changed, gone, byOtherCode: this.#byOtherCode, absent: 0});
		const rest = left > 0 ? ` ${describeUnfinished(left, missing)}` : '';
		return `Would run ${count(items - reused)} of ${count(items)}${what && `: ${what}`}.${rest}`;
	}
}

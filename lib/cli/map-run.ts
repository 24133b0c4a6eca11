import {once} from 'node:events';
import {closeOnSignals, type Engine, FaenaError, type JobId, type JobMap} from '../index.ts';
import {type MapStatus, showBar} from './bar.ts';
import {count, formatRate, toLine} from './format.ts';
import type {Item} from './items.ts';
import {ExitCode, printError} from './print.ts';

/**
 * Prints the results of a map. Phases: `running`; `halted` after too many failures; `signalled` after a signal, or `unwritable`
 * after an error of stdout: in both the engine is closed, which ends the map with the error `Closed`.
 */
export class MapRun {
	readonly #engine: Engine;
	readonly #queue: string;
	readonly #total: number | undefined;
	readonly #missing: 'keep' | 'cancel' | 'delete';
	readonly #printsItems: boolean;
	readonly #start = performance.now();
	#phase: 'running' | 'halted' | 'signalled' | 'unwritable' = 'running';
	/** Aborted by the second signal: from then on the run waits neither for jobs nor for the reader of the results. */
	readonly #hurry = new AbortController();
	#outputError: NodeJS.ErrnoException | undefined;
	#firstDead: JobId | undefined;

	constructor(engine: Engine, {queue, total, missing, printsItems}: RunOptions) {
		this.#engine = engine;
		this.#queue = queue;
		this.#total = total;
		this.#missing = missing;
		this.#printsItems = printsItems;
	}

	/** Prints all results, and a summary. Returns the exit code. After a signal, the process ends by the signal instead. */
	async print(results: JobMap<Item, unknown>, {bar}: {readonly bar: boolean}): Promise<number> {
		const printed = Promise.withResolvers<void>();
		const stopListening = closeOnSignals({
			close: async options => {
				await this.#stop('signalled', options);
				await printed.promise;
			},
		});
		process.stdout.on('error', error => this.#failOutput(error));
		const endBar = bar ? showBar(() => this.#status(results)) : () => undefined;
		try {
			await this.#printAll(results).finally(endBar);
			await this.#flush();
			return this.#printEnd(results);
		} finally {
			printed.resolve();
			if (this.#phase !== 'signalled') stopListening();
		}
	}

	async #printAll(results: JobMap<Item, unknown>): Promise<void> {
		try {
			for await (const result of results) {
				if (result.status === 'dead') this.#firstDead ??= result.jobId;
				const hasRoom = process.stdout.write(toLine(result, this.#printsItems ? result.item.payload : undefined));
				if (!hasRoom) await once(process.stdout, 'drain', {signal: this.#hurry.signal});
			}
		} catch (error) {
			if (this.#phase === 'running' && error instanceof FaenaError && error.code === 'Halted') {
				this.#phase = 'halted';
				return;
			}
			if (this.#phase === 'running') throw error;
			// The summary counts jobs that end until then.
			await this.#engine.close();
		}
	}

	/** Waits until stdout is written. A signal ends the process as soon as this run has ended, and would cut off output for a slow reader. */
	async #flush(): Promise<void> {
		const {signal} = this.#hurry;
		await new Promise<void>(resolve => {
			signal.addEventListener('abort', () => resolve());
			if (signal.aborted) resolve();
			else process.stdout.write('', () => resolve());
		});
	}

	async #stop(phase: 'signalled' | 'unwritable', options?: {drain?: number}): Promise<void> {
		if (this.#phase === 'running') this.#phase = phase;
		if (options?.drain === 0) this.#hurry.abort();
		await this.#engine.close(options);
	}

	#failOutput(error: NodeJS.ErrnoException): void {
		this.#outputError ??= error;
		// If closing fails, the map fails with the same error.
		this.#stop('unwritable', {drain: 0}).catch(() => undefined);
	}

	#status(results: JobMap<Item, unknown>): MapStatus {
		const {completed, dead, cancelled, reused, total} = results.progress();
		const done = completed + dead + cancelled;
		return {done, executed: done - reused, dead, total: this.#total ?? total, isStopping: this.#phase !== 'running'};
	}

	#printEnd(results: JobMap<Item, unknown>): number {
		if (this.#phase === 'running') return this.#printSummary(results);
		const {done, total} = this.#status(results);
		const where = `${count(done)}${total === undefined ? '' : ` of ${count(total)}`} done; the same command goes on from there.`;
		if (this.#phase === 'halted') {
			const why = this.#firstDead === undefined ? '' : ` Why: faena show ${this.#firstDead} --queue ${this.#queue}.`;
			printError(`Halted, since too many failed: ${where}${why}`);
			return ExitCode.someFailed;
		}
		if (this.#phase === 'signalled') {
			printError(`Stopped: ${where}`);
			return ExitCode.interrupted;
		}
		if (this.#outputError?.code !== 'EPIPE') throw new FaenaError('BadOption', `Results can't be written: ${this.#outputError?.message}. ${where}`);
		printError(`Stopped, since the reader of the results has gone: ${where}`);
		return ExitCode.noReader;
	}

	#printSummary(results: JobMap<Item, unknown>): number {
		const {completed, dead, cancelled, reused, missing} = results.progress();
		const seconds = (performance.now() - this.#start) / 1000;
		const executed = completed + dead + cancelled - reused;
		const parts = [
			`${count(completed)} completed`,
			...(dead > 0 ? [`${count(dead)} dead`] : []),
			...(cancelled > 0 ? [`${count(cancelled)} cancelled`] : []),
			...(reused > 0 ? [`${count(reused)} of them reused`] : []),
		];
		const rate = executed > 0 ? ` (${formatRate(executed / seconds)})` : '';
		const why = this.#firstDead === undefined ? '' : ` Why: faena show ${this.#firstDead} --queue ${this.#queue}. Again: --retry-failed.`;
		printError(`${parts.join(', ')}, in ${seconds.toFixed(1)} s${rate}.${why}${missing === 0 ? '' : this.#describeMissing(missing)}`);
		// With another --missing the user has asked to end them.
		if (missing > 0 && this.#missing === 'keep') return ExitCode.inputIncomplete;
		return dead + cancelled === 0 ? ExitCode.done : ExitCode.someFailed;
	}

	#describeMissing(missing: number): string {
		const [jobs, were, stay] = missing === 1 ? ['job', 'was', 'stays'] : ['jobs', 'were', 'stay'];
		const what = {
			keep: `, and ${stay} in the queue. Was the input cut short? The same command with all of it goes on; with --missing cancel it ends them.`,
			cancel: `, and ${were} cancelled.`,
			delete: `, and ${were} deleted.`,
		};
		return ` ${count(missing)} unfinished ${jobs} of an earlier run ${were} missing from the input${what[this.#missing]}`;
	}
}

interface RunOptions {
	readonly queue: string;
	/** Number of items in the input, if it is known from the start. */
	readonly total: number | undefined;
	readonly missing: 'keep' | 'cancel' | 'delete';
	/** Whether to print each item beside its result, since its key does not show it. */
	readonly printsItems: boolean;
}

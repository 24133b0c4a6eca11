import {once} from 'node:events';
import {closeOnSignals, type Engine, FaenaError, type JobId, type JobMap} from '../index.ts';
import {count, type MapStatus, showBar, showRate} from './bar.ts';
import {ExitCode} from './exit-codes.ts';
import type {Item} from './items.ts';
import {toLine} from './ndjson.ts';
import {printError} from './print-error.ts';

/**
 * A map being printed. Phases: `running`; then, if it is to end early, `halted` after too many failures; or `signalled`, or
 * `unwritable` once stdout takes no more: the engine is closed, which ends the map with the error `Closed`.
 */
export class MapRun {
	readonly #engine: Engine;
	readonly #queue: string;
	readonly #total: number | undefined;
	readonly #missing: 'keep' | 'cancel' | 'delete';
	readonly #printsItems: boolean;
	readonly #start = performance.now();
	#phase: 'running' | 'halted' | 'signalled' | 'unwritable' = 'running';
	/** Aborted by the second signal: from then on nobody is waited for, neither jobs nor whoever reads the results. */
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

	/** Prints all results and how it went. Returns the exit code; after a signal the process ends by it. */
	async print(results: JobMap<Item, unknown>, {bar}: {readonly bar: boolean}): Promise<number> {
		const said = Promise.withResolvers<void>();
		const stopListening = closeOnSignals({
			close: async options => {
				await this.#stop('signalled', options);
				await said.promise;
			},
		});
		process.stdout.on('error', error => this.#failOutput(error));
		const endBar = bar ? showBar(() => this.#standing(results)) : () => undefined;
		try {
			await this.#printAll(results).finally(endBar);
			await this.#flush();
			return this.#sayEnd(results);
		} finally {
			said.resolve();
			if (this.#phase !== 'signalled') stopListening();
		}
	}

	async #printAll(results: JobMap<Item, unknown>): Promise<void> {
		try {
			for await (const result of results) {
				if (result.status === 'dead') this.#firstDead ??= result.job;
				const hasRoom = process.stdout.write(toLine(result, this.#printsItems ? result.item.payload : undefined));
				if (!hasRoom) await once(process.stdout, 'drain', {signal: this.#hurry.signal});
			}
		} catch (error) {
			if (this.#phase === 'running' && error instanceof FaenaError && error.code === 'Halted') {
				this.#phase = 'halted';
				return;
			}
			if (this.#phase === 'running') throw error;
			// What still ran is counted below.
			await this.#engine.close();
		}
	}

	/** A signal ends the process as soon as this run has ended, and what a slow reader had not read by then would be cut off. */
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
		// Should closing fail, the map fails with the same error.
		this.#stop('unwritable', {drain: 0}).catch(() => undefined);
	}

	#standing(results: JobMap<Item, unknown>): MapStatus {
		const {completed, dead, cancelled, earlier, total} = results.progress();
		const done = completed + dead + cancelled;
		return {done, executed: done - earlier, dead, total: this.#total ?? total, isStopping: this.#phase !== 'running'};
	}

	#sayEnd(results: JobMap<Item, unknown>): number {
		if (this.#phase === 'running') return this.#sayResult(results);
		const {done, total} = this.#standing(results);
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
		printError(`Stopped, since nobody reads the results: ${where}`);
		return ExitCode.noReader;
	}

	#sayResult(results: JobMap<Item, unknown>): number {
		const {completed, dead, cancelled, earlier, missing} = results.progress();
		const seconds = (performance.now() - this.#start) / 1000;
		const executed = completed + dead + cancelled - earlier;
		const parts = [
			`${count(completed)} completed`,
			...(dead > 0 ? [`${count(dead)} dead`] : []),
			...(cancelled > 0 ? [`${count(cancelled)} cancelled`] : []),
			...(earlier > 0 ? [`${count(earlier)} of them already ended before`] : []),
		];
		const rate = executed > 0 ? ` (${showRate(executed / seconds)})` : '';
		const why = this.#firstDead === undefined ? '' : ` Why: faena show ${this.#firstDead} --queue ${this.#queue}. Again: --retry-failed.`;
		printError(`${parts.join(', ')}, in ${seconds.toFixed(1)} s${rate}.${why}${missing === 0 ? '' : this.#describeMissing(missing)}`);
		// With another --missing it was asked for that they end.
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
	/** Items of the input, where that is known from the start. */
	readonly total: number | undefined;
	readonly missing: 'keep' | 'cancel' | 'delete';
	/** Print each item beside its result: its key says nothing of it. */
	readonly printsItems: boolean;
}

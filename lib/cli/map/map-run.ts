import {once} from 'node:events';
import {setTimeout as sleep} from 'node:timers/promises';
import type {Engine, JobId, JobMap, MapResult} from '../../index.ts';
import {closeOnSignals} from '../../internal/api.ts';
import {bad, FaenaError, shownLocation} from '../../internal/words.ts';
import {InputError} from '../input-error.ts';
import {Output} from '../terminal/output.ts';
import {count, counted, ExitCode, formatRate, type MapStatus, printError, showBar} from '../terminal/print.ts';
import {shellQuote} from '../terminal/shell-quote.ts';
import {describeFresh} from './fresh.ts';
import type {Item} from './inputs/items.ts';
import type {JobLog} from './joblog.ts';
import type {Printer} from './map-output.ts';
import {type Parts, STREAMS, type Stream, type Streams} from './shell/streams.ts';

const LOOK_EVERY_MS = 50;

/** What a run prints, and how. */
export interface RunOptions {
	readonly queue: string;
	readonly batch: string;
	readonly missing: 'hold' | 'run' | 'cancel' | 'delete';
	readonly quiet?: true;
	readonly printer: Printer;
	readonly log: JobLog | undefined;
	/** Removes what the run has only for itself. Called when no job runs, also before a signal ends the process. */
	readonly cleanUp: () => void;
	/** Of files, by path. */
	readonly sizes: ReadonlyMap<string, number> | undefined;
	/** The printer takes encoded results. */
	readonly isEncoded: boolean;
	/** Results come in the order of the input: what is printed says little about what has ended. */
	readonly isInOrder: boolean;
}

/**
 * Prints the results of a map. Phases: `running`; `halted` after too many failures; `signalled` after a signal, or `unwritable`
 * after an error of stdout: in both the engine is closed, which ends the map with the error `Closed`.
 */
export class MapRun {
	readonly #engine: Engine;
	readonly #results: JobMap<Item, unknown>;
	readonly #options: RunOptions;
	readonly #bytes: {done: number; executed: number; readonly total: number};
	readonly #start = performance.now();
	#phase: 'running' | 'halted' | 'signalled' | 'unwritable' = 'running';
	/** Aborted by the second signal: from then on the run waits neither for jobs nor for the reader of the results. */
	readonly #forceQuit = new AbortController();
	readonly #output = new Output();
	#outputError: NodeJS.ErrnoException | undefined;
	#firstDead: JobId | undefined;

	constructor(engine: Engine, results: JobMap<Item, unknown>, options: RunOptions) {
		const {sizes} = options;
		this.#engine = engine;
		this.#results = results;
		this.#options = options;
		this.#bytes = {done: 0, executed: 0, total: [...(sizes?.values() ?? [])].reduce((sum, size) => sum + size, 0)};
	}

	/** Prints all results, and a summary. Returns the exit code. After a signal, the process ends by the signal instead. */
	async print(): Promise<number> {
		const printed = Promise.withResolvers<void>();
		// The engine closes by itself. The process ends once this has printed how far the run is, too.
		const stopListening = closeOnSignals({
			close: options => {
				this.#stop('signalled', options);
				return printed.promise;
			},
		});
		// Workers that print lines to a stderr that has lost its reader would wait for it for ever.
		process.stderr.on('unpipe', source => source.resume());
		process.stdout.on('error', error => {
			this.#outputError ??= error;
			// A terminal that was closed sends a signal, too, and running jobs may end.
			if (this.#phase === 'signalled') return;
			this.#stop('unwritable', {drain: 0});
			// If closing fails, the map fails with the same error.
			this.#engine.close({drain: 0}).catch(() => undefined);
		});
		void this.#results.opened.then(unfinished => unfinished > 0 && printError(describeLeft(unfinished, this.#options.missing)));
		const endBar = this.#options.quiet ? () => undefined : showBar(() => this.#status());
		try {
			await this.#printAll().finally(() => {
				endBar();
				this.#options.log?.flush();
			});
			await this.#flush();
			return this.#printEnd();
		} finally {
			if (this.#phase === 'signalled') this.#options.cleanUp();
			printed.resolve();
			if (this.#phase !== 'signalled') stopListening();
		}
	}

	async #printAll(): Promise<void> {
		try {
			for await (const results of this.#results.parts(this.#options)) await this.#printEach(results);
			if (this.#options.missing === 'run' && this.#results.progress().missing > 0) await this.#batchEnds();
		} catch (error) {
			this.#output.flush();
			const isHalted = error instanceof FaenaError && error.code === 'Halted';
			if (this.#phase === 'running' && !isHalted) throw error instanceof InputError ? this.#withCount(error) : error;
			if (this.#phase === 'running') this.#phase = 'halted';
			// The summary counts jobs that end until then.
			else await this.#engine.close();
		}
	}

	/** Waits for the jobs that the input does not have, which the map itself does not wait for. */
	async #batchEnds(): Promise<void> {
		for (;;) {
			const {completedAt} = (await this.#engine.batch(this.#options.batch).info()) ?? {completedAt: 0};
			if (completedAt !== undefined) return;
			await sleep(LOOK_EVERY_MS);
		}
	}

	async #printEach(results: readonly MapResult<Item, unknown>[]): Promise<void> {
		for (const result of results) {
			this.#note(result);
			const written = this.#write(result);
			// To await each would take longer than to print it.
			if (written) await written;
		}
	}

	#withCount(error: InputError): InputError {
		const {done} = this.#status();
		return new InputError(`${error.message} ${count(done)} done so far; once the input is right, the same command goes on from there.`, {cause: error});
	}

	/** Returns a promise if it has to be waited for. */
	#write(result: MapResult<Item, unknown>): Promise<void> | undefined {
		// The printer may write to stderr.
		if (result.status !== 'completed') this.#output.flush();
		const printed = this.#options.printer(result, this.#forceQuit.signal);
		this.#options.log?.add(result);
		if (typeof printed !== 'string') return this.#writeOutput(printed);
		this.#output.add(printed);
		return process.stdout.writableNeedDrain ? this.#drain('stdout') : undefined;
	}

	async #writeOutput(output: Streams<Parts>): Promise<void> {
		for (const stream of STREAMS) {
			for await (const part of output[stream]) {
				if (stream === 'stdout') this.#output.add(part);
				else if (part.length > 0) {
					this.#output.flush();
					process.stderr.write(part);
				}
				if (process[stream].writableNeedDrain) await this.#drain(stream).catch(error => this.#ignoreLostStderr(stream, error));
			}
		}
	}

	/** Without a reader of stderr the run goes on, as without a reader that was slow before. */
	#ignoreLostStderr(stream: Stream, error: NodeJS.ErrnoException): void {
		if (stream === 'stdout' || error.code !== 'EPIPE') throw error;
	}

	async #drain(stream: Stream): Promise<void> {
		this.#options.log?.flush();
		await once(process[stream], 'drain', {signal: this.#forceQuit.signal});
	}

	#note({status, key, jobId, reused}: MapResult<Item, unknown>): void {
		if (status === 'dead') this.#firstDead ??= jobId;
		const size = this.#options.sizes?.get(key) ?? 0;
		this.#bytes.done += size;
		if (!reused) this.#bytes.executed += size;
	}

	/** Waits until stdout is written. A signal ends the process as soon as this run has ended, and would cut off output for a slow reader. */
	async #flush(): Promise<void> {
		const {signal} = this.#forceQuit;
		this.#output.flush();
		if (!signal.aborted) await Promise.race([once(signal, 'abort'), new Promise(resolve => process.stdout.write('', resolve))]);
	}

	#stop(phase: 'signalled' | 'unwritable', {drain}: {drain?: number} = {}): void {
		if (this.#phase === 'running') this.#phase = phase;
		if (drain === 0) this.#forceQuit.abort();
	}

	#status(): MapStatus {
		const {completed, dead, cancelled, reused, total} = this.#results.progress();
		const {sizes, isInOrder} = this.#options;
		const done = completed + dead + cancelled;
		return {
			...{done, executed: done - reused, dead},
			// That of files is known from the start.
			total: sizes?.size ?? total,
			isStopping: this.#phase === 'signalled',
			bytes: isInOrder ? undefined : sizes && this.#bytes,
		};
	}

	#printEnd(): number {
		const {done, total} = this.#status();
		const where = `${count(done)}${total === undefined ? '' : ` of ${count(total)}`} done; the same command goes on from there.`;
		switch (this.#phase) {
			case 'running':
				return this.#printSummary();
			case 'halted':
				printError(`Halted, since too many failed: ${where}${this.#why()}`);
				return ExitCode.someFailed;
			case 'signalled':
				printError(`Stopped: ${where}`);
				return ExitCode.interrupted;
			case 'unwritable':
				if (this.#outputError?.code !== 'EPIPE') throw bad(`Results can't be written: ${this.#outputError?.message}. ${where}`);
				printError(`Stopped, since the reader of the results has gone: ${where}`);
				return ExitCode.noReader;
		}
	}

	/** How to find out why jobs died, if some did. */
	#why(): string {
		return this.#firstDead === undefined ? '' : ` Why: faena show ${this.#firstDead} --queue ${shellQuote(shownLocation(this.#options.queue))}.`;
	}

	#printSummary(): number {
		const progress = this.#results.progress();
		const {completed, dead, cancelled, reused, missing} = progress;
		const {executed} = this.#status();
		const fresh = this.#options.sizes === undefined ? '' : describeFresh({...progress, runs: completed + dead + cancelled - reused});
		const seconds = (performance.now() - this.#start) / 1000;
		const parts = [
			`${count(completed)} completed`,
			dead > 0 && `${count(dead)} dead`,
			cancelled > 0 && `${count(cancelled)} cancelled`,
			reused > 0 && !fresh && `${count(reused)} of these from an earlier run`,
		];
		const rate = executed > 0 ? ` (${formatRate(executed / seconds)})` : '';
		const what = `${parts.filter(Boolean).join(', ')}, in ${seconds.toFixed(1)} s${rate}${fresh && `: ${fresh}`}.`;
		printError(`${what}${this.#why()}${dead + cancelled > 0 ? ' Again: --retry-failed.' : ''}${missing === 0 ? '' : describeMissing(missing, this.#options)}`);
		// With another --missing they have ended or run: the user has asked for that, or the command itself has all values.
		if (missing > 0 && this.#options.missing === 'hold') return ExitCode.inputIncomplete;
		return dead + cancelled === 0 ? ExitCode.done : ExitCode.someFailed;
	}
}

const AT_THE_END = {hold: 'stay held', run: 'run', cancel: 'are cancelled', delete: 'are deleted'} as const;

/** Said before any of them could start. @param unfinished the number of them, in the input or not */
function describeLeft(unfinished: number, missing: RunOptions['missing']): string {
	return `An earlier run left ${counted(unfinished, 'item')} unfinished. Those that are not in this input are not started; at its end they ${AT_THE_END[missing]}.`;
}

/** Said by a dry run. @param unfinished the number of those that the input does not have */
export function describeUnfinished(unfinished: number, missing: RunOptions['missing']): string {
	return `${counted(unfinished, 'unfinished item')} of an earlier run that this input does not have would not be started; at its end they ${AT_THE_END[missing]}.`;
}

function describeMissing(missing: number, {missing: how}: RunOptions): string {
	const [is, stays, was] = missing === 1 ? ['is', 'stays', 'was'] : ['are', 'stay', 'were'];
	const what = {
		hold: `${stays} held. If the input was cut short, run the command with all of it. If not: --missing run, cancel or delete.`,
		run: `${was} run, too.`,
		cancel: `${was} cancelled.`,
		delete: `${was} deleted.`,
	};
	return ` ${counted(missing, 'unfinished item')} of an earlier run ${is} not in this input, and ${what[how]}`;
}

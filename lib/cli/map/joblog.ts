import {appendFileSync, closeSync, existsSync, fstatSync, openSync, readSync, statSync} from 'node:fs';
import {constants} from 'node:os';
import type {MapResult} from '../../index.ts';
import {bad} from '../../internal/words.ts';
import {inLine} from '../terminal/controls.ts';
import {printError} from '../terminal/print.ts';
import type {Item} from './inputs/items.ts';
import type {ShellFailure, ShellResult} from './shell/shell-command.ts';

/** The columns of GNU parallel's job log. */
const COLUMNS = ['Seq', 'Host', 'Starttime', 'JobRuntime', 'Send', 'Receive', 'Exitval', 'Signal', 'Command'];

/** Jobs are written together. */
const FLUSH_AFTER_MS = 100;

/** Appends a line for each job that ran to a file, in the columns of GNU parallel. */
export class JobLog {
	readonly #file: string;
	readonly #commandOf: (item: Item) => string;
	readonly #lines: string[] = [];
	#hasFailed = false;
	#timer: NodeJS.Timeout | undefined;

	/** @param commandOf what ran for an item. @throws FaenaError `BadOption` if the file can't be written */
	constructor(file: string, commandOf: (item: Item) => string) {
		this.#file = file;
		this.#commandOf = commandOf;
		try {
			// To open a pipe waits for its reader.
			if (statSync(file, {throwIfNoEntry: false})?.isFIFO()) throw new Error('it is a pipe, and not a file');
			const last = lastByte(file);
			// The end of a line is missing if the machine went down.
			appendFileSync(file, last === undefined ? `${COLUMNS.join('\t')}\n` : last === 0x0a ? '' : '\n');
		} catch (error) {
			throw bad(`The job log ${file} can't be written: ${(error as Error).message}`);
		}
	}

	/** Adds the job of a result, unless it ran in an earlier run, or did not run at all. */
	add({item, execution, ...end}: MapResult<Item, unknown>): void {
		if (!execution) return;
		const {startedAt, durationMs} = execution;
		if (startedAt === undefined) return;
		const {exitCode, signal, received} = end.status === 'completed' ? endOf(end.result, 0) : endOf(end.error, 1);
		const columns = [
			...[item.sequence, ':', (startedAt / 1000).toFixed(3), ((durationMs ?? 0) / 1000).toFixed(3).padStart(10)],
			...[0, received, exitCode, signal, inLine(this.#commandOf(item))],
		];
		this.#lines.push(`${columns.join('\t')}\n`);
		this.#timer ??= setTimeout(() => this.flush(), FLUSH_AFTER_MS).unref();
	}

	flush(): void {
		clearTimeout(this.#timer);
		this.#timer = undefined;
		if (this.#lines.length === 0) return;
		const lines = this.#lines.splice(0).join('');
		try {
			appendFileSync(this.#file, lines);
		} catch (error) {
			if (!this.#hasFailed) printError(`The job log ${this.#file} can't be written, and lacks jobs: ${(error as Error).message}`);
			this.#hasFailed = true;
		}
	}
}

/** The last byte of a file; `undefined` if there is none. */
function lastByte(path: string): number | undefined {
	if (!existsSync(path)) return undefined;
	const file = openSync(path, 'r');
	try {
		const {size} = fstatSync(file);
		const byte = Buffer.alloc(1);
		return size > 0 && readSync(file, byte, 0, 1, size - 1) === 1 ? byte[0] : undefined;
	} finally {
		closeSync(file);
	}
}

/** A task has no exit code: a result, which is encoded, counts as 0, an error as 1. */
function endOf(ended: unknown, otherwise: number): Readonly<Record<'exitCode' | 'signal' | 'received', number>> {
	const {exitCode = otherwise, stdout = '', cut, ...rest} = (typeof ended === 'object' ? (ended ?? {}) : {}) as Partial<ShellFailure> | Partial<ShellResult>;
	const signal = 'signal' in rest && typeof rest.signal === 'string' ? constants.signals[rest.signal as NodeJS.Signals] : 0;
	const received = Buffer.byteLength(stdout) + (cut?.stdout ?? 0);
	return {exitCode: exitCode ?? otherwise, signal: signal ?? 0, received};
}

/** What `faena map` prints for each result. */

import {createReadStream, mkdirSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {dirname} from 'node:path';
import type {MapResult} from '../../index.ts';
import {decode, type Encoded, isJson} from '../../internal/words.ts';
import {escapeControls} from '../terminal/controls.ts';
import {printError, shorten, toJson} from '../terminal/print.ts';
import type {Item} from './inputs/items.ts';
import {outputPaths} from './shell/output-files.ts';
import {describeItem, type ShellFailure, type ShellFlags} from './shell/shell-command.ts';
import {bothOf, type Parts, STREAMS, type Streams} from './shell/streams.ts';
import {tagged} from './shell/tagged-lines.ts';

/** Makes what is printed for a result: a text for stdout, or a command's output. @param signal aborted once nothing is waited for any more */
export type Printer = (result: MapResult<Item, unknown>, signal: AbortSignal) => string | Streams<Parts>;

interface LineOptions {
	readonly hasItems: boolean;
	readonly hasTimes: boolean;
	/** Results come encoded. */
	readonly isEncoded: boolean;
}

/** A line of JSON for each result. `reused` marks a job that had ended before this run. */
export function jsonLines({hasItems, hasTimes, isEncoded}: LineOptions): Printer {
	return ({key, item, jobId, execution, ...end}) => {
		const {number, startedAt, durationMs, cpuMs} = execution ?? {};
		const times = hasTimes && execution && {attempt: number, startedAt: startedAt && new Date(startedAt).toISOString(), durationMs, cpuMs};
		// A file's key is its path, which says what the item is.
		const about = {key, item: hasItems ? item.payload : undefined, jobId, status: end.status, reused: end.reused || undefined, ...times};
		let what: string;
		if (end.status !== 'completed') what = `"error":${toJson({name: end.error.name, message: end.error.message})}`;
		else if (isEncoded) what = `"result":${jsonOf(end.result as Encoded, execution !== undefined)}`;
		else what = `"result":${toJson(end.result)}`;
		return `${escapeControls(`${toJson(about).slice(0, -1)},${what}}`)}\n`;
	};
}

/** @param isNew it comes from a worker; another program may have damaged one that was stored */
function jsonOf(result: Encoded, isNew: boolean): string {
	return isNew && isJson(result) ? result : toJson(decode(result));
}

/** The output of each command as it is, or with the item before each line. Lines that were printed as they came are not printed again. */
export function commandOutputs(flags: ShellFlags): Printer {
	const {tag, lineBuffer, results} = flags;
	return (result, signal) => {
		const {item, jobId, reused, ...end} = result;
		const {kept, cut, hasRun} = keptOf(result);
		const label = describeItem(item.payload);
		if (end.status !== 'completed' && !hasRun) printError(`${shorten(label, MAX_SHOWN_CHARACTERS)}: ${end.error.message}`);
		if (lineBuffer && !reused) return '';
		const paths = outputPaths(flags, item.payload, jobId);
		const files = bothOf(stream => (cut[stream] > 0 && hasAll(paths?.[stream], kept[stream], cut[stream]) ? paths?.[stream] : undefined));
		warnOfLost(
			result,
			bothOf(stream => (files[stream] === undefined ? cut[stream] : 0)),
		);
		return bothOf(stream => {
			const file = files[stream];
			const parts = file === undefined ? [kept[stream]] : readWhole(file, {isTemporary: results === undefined, signal});
			return tag ? tagged(parts, label) : parts;
		});
	};
}

/** Also writes the stored outputs of commands that ran in an earlier run where this one writes its own. A file that has all of an output stays. */
export function withReusedFiles(flags: ShellFlags, print: Printer): Printer {
	return (result, signal) => {
		const {kept, cut, hasRun} = keptOf(result);
		const paths = outputPaths(flags, result.item.payload, result.jobId) as Streams<string>;
		for (const stream of result.reused && hasRun ? STREAMS : []) {
			if (hasAll(paths[stream], kept[stream], cut[stream])) continue;
			mkdirSync(dirname(paths[stream]), {recursive: true});
			writeFileSync(paths[stream], kept[stream]);
		}
		return print(result, signal);
	};
}

type Kept = string | Uint8Array;

/** What the job of a command keeps. One that was stopped, or could not be started, has not run, and keeps nothing. */
function keptOf(end: MapResult<Item, unknown>): {readonly kept: Streams<Kept>; readonly cut: Streams<number>; readonly hasRun: boolean} {
	const isDone = end.status === 'completed';
	const {exitCode, cut = {stdout: 0, stderr: 0}, ...output} = ((isDone ? end.result : end.error) ?? {}) as Partial<ShellFailure>;
	// Another program may have written the row.
	const isKept = (value: unknown): value is Kept => typeof value === 'string' || value instanceof Uint8Array;
	const keptIn = (value: unknown) => (isKept(value) ? value : '');
	return {kept: bothOf(stream => keptIn(output[stream])), cut, hasRun: isDone || exitCode !== undefined};
}

/** Whether a file has all of an output. @param cut the bytes of it that the job does not keep: then a file of the same length will have them */
function hasAll(path: string | undefined, kept: Kept, cut: number): boolean {
	if (path === undefined || statSync(path, {throwIfNoEntry: false})?.size !== Buffer.byteLength(kept) + cut) return false;
	return cut > 0 || readFileSync(path).equals(Buffer.from(kept as string));
}

/** A temporary file is removed once it was read. */
async function* readWhole(file: string, {isTemporary, signal}: {readonly isTemporary: boolean; readonly signal: AbortSignal}): AsyncGenerator<Buffer> {
	yield* createReadStream(file, {signal}) as AsyncIterable<Buffer>;
	if (isTemporary) rmSync(file, {force: true});
}

/** Of a command that failed the end of stdout is kept, too. */
function warnOfLost({item, status}: MapResult<Item, unknown>, {stdout, stderr}: Streams<number>): void {
	if (stdout + stderr === 0) return;
	const isDone = status === 'completed';
	const parts = [stdout > 0 && `the ${isDone ? 'last' : 'first'} ${stdout} bytes of stdout`, stderr > 0 && `the first ${stderr} bytes of stderr`];
	const again = isDone ? '--fresh all' : '--retry-failed';
	const label = shorten(describeItem(item.payload), MAX_SHOWN_CHARACTERS);
	printError(`Of the output of ${label} ${parts.filter(Boolean).join(' and ')} were not kept. To have all of it: --results FOLDER ${again}.`);
}

/** An item may be a line of megabytes. */
const MAX_SHOWN_CHARACTERS = 200;

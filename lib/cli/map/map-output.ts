/** What `faena map` prints for each result. */

import type {MapResult} from '../../index.ts';
import {decode, type Encoded, isJson} from '../../internal/words.ts';
import {escapeControls} from '../terminal/controls.ts';
import {printError, toJson} from '../terminal/print.ts';
import type {Item} from './inputs/items.ts';
import {hasAll, keepOutput, outputPaths} from './shell/output-files.ts';
import {describeItem, type ShellFailure, type ShellFlags, type ShellResult} from './shell/shell-command.ts';
import {STREAMS, spillPaths, type WholeOutput} from './shell/spilled-output.ts';
import {tagged} from './shell/tagged-lines.ts';

/** Text or bytes for stdout and for stderr. */
export interface Printed {
	readonly stdout: string | Uint8Array;
	readonly stderr?: string | Uint8Array;
	/** What is printed instead, with the label before each line. */
	readonly whole?: WholeOutput & {readonly label?: string};
}

export type Printer = (result: MapResult<Item, unknown>) => Printed;

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
		return {stdout: `${escapeControls(`${toJson(about).slice(0, -1)},${what}}`)}\n`};
	};
}

/** @param isNew it comes from a worker; another program may have damaged one that was stored */
function jsonOf(result: Encoded, isNew: boolean): string {
	return isNew && isJson(result) ? result : toJson(decode(result));
}

/** The output of each command as it is, or with the item before each line. Lines that were printed as they came are not printed again. */
export function commandOutputs({tag, lineBuffer, results, spill}: ShellFlags): Printer {
	const filesOf = (item: Item, jobId: number) => (results !== undefined ? outputPaths(results, item.payload) : spillPaths(spill ?? '', jobId));
	const isTemporary = results === undefined;
	return ({item, jobId, reused, ...end}) => {
		const kept = keptOf(end);
		const label = describeItem(item.payload);
		if (end.status !== 'completed' && kept.exitCode === undefined) printError(`${shorten(label)}: ${end.error.message}`);
		if (lineBuffer && !reused) return {stdout: ''};
		if (kept.cut) {
			const paths = filesOf(item, jobId);
			const {cut} = kept;
			if (STREAMS.every(stream => hasAll(paths[stream], kept[stream], cut[stream]))) return {stdout: '', whole: {paths, isTemporary, ...(tag && {label})}};
			warnOfCut(item, end.status, cut);
		}
		return tag ? {stdout: tagged(kept.stdout, label), stderr: tagged(kept.stderr, label)} : kept;
	};
}

type Kept = Pick<ShellResult, 'stdout' | 'stderr' | 'cut'> & Partial<Pick<ShellFailure, 'exitCode'>>;

/** What the job of a command keeps. One that was stopped, or could not be started, has no output. */
function keptOf(end: Pick<MapResult<Item, unknown>, 'status'> & {readonly result?: unknown; readonly error?: unknown}): Kept {
	const of = (end.status === 'completed' ? end.result : end.error) as Partial<Kept> | undefined;
	// Another program may have written the row.
	const isOutput = (value: unknown): value is string | Uint8Array => typeof value === 'string' || value instanceof Uint8Array;
	const {stdout, stderr} = of ?? {};
	return {...of, stdout: isOutput(stdout) ? stdout : '', stderr: isOutput(stderr) ? stderr : ''};
}

/** Writes the stored outputs of commands that ran in an earlier run where this one writes its own. */
export function keepReused(folder: string): (result: MapResult<Item, unknown>) => void {
	return ({item, ...end}) => {
		const {stdout, stderr, cut} = keptOf(end);
		keepOutput(folder, item.payload, {stdout, stderr}, cut);
	};
}

/** Of a command that failed the end of stdout is kept, too. */
function warnOfCut(item: Item, status: string, {stdout, stderr}: {readonly stdout: number; readonly stderr: number}): void {
	const isDone = status === 'completed';
	const parts = [stdout > 0 && `the ${isDone ? 'last' : 'first'} ${stdout} bytes of stdout`, stderr > 0 && `the first ${stderr} bytes of stderr`];
	const again = isDone ? '--fresh all' : '--retry-failed';
	printError(
		`Of the output of ${shorten(describeItem(item.payload))} ${parts.filter(Boolean).join(' and ')} were not kept. To have all of it: --results FOLDER ${again}.`,
	);
}

const MAX_SHOWN_CHARACTERS = 200;

/** An item may be a line of megabytes. */
function shorten(label: string): string {
	return label.length <= MAX_SHOWN_CHARACTERS ? label : `${label.slice(0, MAX_SHOWN_CHARACTERS)}…`;
}

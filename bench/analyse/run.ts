import {existsSync, readFileSync} from 'node:fs';
import type {Machine} from '../plan/machine.ts';
import type {Entry, Measurement} from '../plan/suite.ts';

/** One run of a plan, as its results file has it. */
export interface Run {
	readonly run: string;
	readonly plan: string;
	readonly seed: number;
	readonly at: string;
	readonly machine: Machine;
	/** Measurements that count. */
	readonly measured: readonly Measured[];
	/** Measurements that don't count, each with its reason. Most were repeated. */
	readonly discarded: readonly Entry[];
	readonly notRun: readonly NotRun[];
}

/** An entry that counts. */
export type Measured = Entry & {readonly measurement: Measurement};

export interface NotRun {
	readonly subject: string;
	readonly reason: string;
}

/**
 * Reads a run from a results file.
 * @param id the run's; by default the newest in the file
 */
export function readRun(file: string, id?: string): Run {
	if (!existsSync(file)) throw new Error(`There are no results in ${file} yet.`);
	const lines = parse(readFileSync(file, 'utf8'), file);
	const header = lines.findLast((line): line is Header => 'machine' in line && (id === undefined || line.run === id));
	if (!header) throw new Error(id === undefined ? `There is no run in ${file}.` : `There is no run ${id} in ${file}.`);
	const own = lines.filter(({run}) => run === header.run);
	const entries = own.filter(line => 'trial' in line);
	return runOf(
		header,
		entries,
		own.flatMap(line => ('notRun' in line ? [line.notRun] : [])),
	);
}

/** All runs of a results file, the oldest first. */
export function readRuns(file: string): Run[] {
	const headers = parse(readFileSync(file, 'utf8'), file).filter((line): line is Header => 'machine' in line);
	return headers.map(({run}) => readRun(file, run));
}

export function runOf(header: Header, entries: readonly Entry[], notRun: readonly NotRun[] = []): Run {
	return {...header, measured: entries.filter(isMeasured), discarded: entries.filter(entry => !isMeasured(entry)), notRun};
}

export type Header = Omit<Run, 'measured' | 'discarded' | 'notRun'>;
type Line = Header | Entry | {readonly run: string; readonly notRun: NotRun};

/** Leaves out the text after the last line feed: a killed run may have written half a line. */
function parse(text: string, file: string): Line[] {
	return text
		.split('\n')
		.slice(0, -1)
		.map((line, index) => {
			try {
				return JSON.parse(line);
			} catch (cause) {
				throw new Error(`Line ${index + 1} of ${file} is not JSON.`, {cause});
			}
		});
}

function isMeasured(entry: Entry): entry is Measured {
	return entry.discarded === undefined && entry.measurement !== undefined;
}

import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {type Run, readRun} from '../../bench/analyse/run.ts';
import type {Entry, Measurement} from '../../bench/plan/suite.ts';
import {makeFolder} from '../fixtures/folder.ts';

/** A line of made-up results: of a thousand no-op jobs of Faena in one second, if nothing else is said. */
export function entry(given: Partial<Omit<Entry, 'measurement'>> & {readonly measurement?: Partial<Measurement>} = {}): Entry {
	const {measurement, ...rest} = given;
	return {
		...{run: 'one', block: 1, trial: 'drain', subject: 'faena', durability: 'full', intake: 'bulk', task: 'identity'},
		...{jobs: 1000, workMicros: 0, workers: 2, at: '2026-01-01T00:00:00.000Z', spinMs: [20, 20], stolen: 0},
		...rest,
		measurement: {wallMs: 1000, cpu: {caller: 1000, dispatcher: 2000, workers: 3000, other: 0, servers: 0}, ...measurement},
	};
}

/** Of a thousand jobs of so many microseconds each. */
export function cpuOf(workMicros: number): Measurement['cpu'] {
	return {caller: 0, dispatcher: 0, workers: 1000 * workMicros, other: 0, servers: 0};
}

export function header(run = 'one'): object {
	const machine = {
		...{processors: 2, model: 'made up', memoryGib: 1, system: 'none', node: '24', sqlite: '3'},
		...{fileSystem: 'none', fsyncMs: 0.2, commit: 'abc'},
	};
	return {run, plan: 'quick', seed: 1, at: '2026-01-01T00:00:00.000Z', machine};
}

/** A results file with those lines. */
export function results(t: ExecutionContext, lines: readonly object[]): string {
	const file = join(makeFolder(t), 'results.jsonl');
	writeFileSync(file, lines.map(line => `${JSON.stringify(line)}\n`).join(''));
	return file;
}

export function runOf(t: ExecutionContext, entries: readonly object[]): Run {
	return readRun(results(t, [header(), ...entries]));
}

/** What test files took, as {@link METER} has it. */
import {existsSync, mkdtempSync, readFileSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

const SHOWN = 10;

export interface Times {
	readonly file: string;
	/** From the start of its process to the end. */
	readonly wallMs: number;
	/** Processor time of its process, and of those that it started and saw end. */
	readonly cpuMs: number;
}

/** The file to which `meter.ts` adds a line for each test file of this run. */
export const METER = join(mkdtempSync(join(tmpdir(), 'faena-times-')), 'times.jsonl');

export function readTimes(file: string): readonly Times[] {
	if (!existsSync(file)) return [];
	return readFileSync(file, 'utf8')
		.split('\n')
		.filter(Boolean)
		.map(line => JSON.parse(line) as Times);
}

export function printTimes(times: readonly Times[]): void {
	const seconds = (ms: number) => String(Math.round(ms / 1000)).padStart(5);
	console.log('\n seconds  of processors');
	for (const {file, wallMs, cpuMs} of times.toSorted((a, b) => b.wallMs - a.wallMs).slice(0, SHOWN))
		console.log(`${seconds(wallMs)} s  ${seconds(cpuMs)} s  ${file}`);
	console.log(`         ${seconds(times.reduce((sum, {cpuMs}) => sum + cpuMs, 0))} s  all ${times.length} files`);
}

/** Writes the times for `ava.config.js`. */
export function keepTimes(times: readonly Times[]): void {
	const kept = Object.fromEntries(times.toSorted((a, b) => (a.file < b.file ? -1 : 1)).map(({file, ...took}) => [file, took]));
	writeFileSync(new URL('times.json', import.meta.url), `${JSON.stringify(kept, null, '\t')}\n`);
}

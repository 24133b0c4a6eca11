/** What each test file took in the run of all tests that was kept last: `npm test -- --keep` writes it. It is committed, so that a fresh clone has it, too. */
import {readFileSync, writeFileSync} from 'node:fs';

export interface Time {
	/** Beside three other files, on two processors. */
	readonly wallMs: number;
	/** Of all its processes. */
	readonly cpuMs: number;
}

const KEPT = new URL('kept.json', import.meta.url);

/** By file, from the root of the checkout. */
export function keptTimes(): Map<string, Time> {
	return new Map(Object.entries(JSON.parse(readFileSync(KEPT, 'utf8')) as Record<string, Time>));
}

/** Files that did not run keep their times. */
export function keepTimes(measured: ReadonlyMap<string, Time>): void {
	const all = [...keptTimes(), ...measured];
	writeFileSync(KEPT, `${JSON.stringify(Object.fromEntries(new Map(all.sort(([a], [b]) => (a < b ? -1 : 1)))), null, '\t')}\n`);
}

/** Reads the lines of `meter.ts`. */
export function parseTimes(lines: string): Map<string, Time> {
	const each = lines.split('\n').filter(Boolean);
	return new Map(each.map(line => JSON.parse(line) as Time & {readonly file: string}).map(({file, ...time}) => [file, time]));
}

/** For a comparison: the longest first. A file of which nothing is known may be long. */
export function byLength(times: ReadonlyMap<string, Time>): (a: string, b: string) => number {
	const msOf = (file: string) => times.get(file)?.wallMs ?? Number.MAX_VALUE;
	return (a, b) => msOf(b) - msOf(a) || (a < b ? -1 : 1);
}

import {closeSync, fsyncSync, openSync, rmSync, writeSync} from 'node:fs';
import {join} from 'node:path';
import type {Result} from './subjects/subject.ts';
import type {Trial} from './trials.ts';

export function median(values: readonly number[]): number {
	const sorted = values.toSorted((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** Runs all jobs of the trial through a pool, `window` of them under way at a time. */
export async function drainPool({task, jobs}: Trial, rounds: number, window: number, run: (request: object) => Promise<unknown>): Promise<Result> {
	await Promise.all(Array.from({length: window}, () => run({task: 'noop', payload: 0})));
	let next = 0;
	const lane = async () => {
		while (next < jobs) {
			const index = next++;
			await run({task, payload: task === 'noop' ? index : rounds});
		}
	};
	const cpu = process.cpuUsage();
	const start = performance.now();
	await Promise.all(Array.from({length: window}, lane));
	const wallMs = performance.now() - start;
	const {user, system} = process.cpuUsage(cpu);
	return {wallMs, cpuMs: (user + system) / 1000};
}

/** Median time to append 4 KiB to a file and fsync it: what one commit cannot go below here. */
export function fsyncMs(folder: string): number {
	const path = join(folder, 'fsync');
	const file = openSync(path, 'w');
	const block = Buffer.alloc(4096, 1);
	const times = Array.from({length: 200}, () => {
		const start = performance.now();
		writeSync(file, block);
		fsyncSync(file);
		return performance.now() - start;
	});
	closeSync(file);
	rmSync(path);
	return median(times);
}

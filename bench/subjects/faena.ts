import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {monitorEventLoopDelay} from 'node:perf_hooks';
import {type Engine, open} from '../../lib/index.ts';
import {fsyncMs, median} from '../measure.ts';
import type {Trial} from '../trials.ts';
import type {Result, Setup} from './subject.ts';

type Tasks = typeof import('../tasks.ts');

/** Faena with default settings: durable (`full`), from the first enqueue to the commit of the last result. */
export async function run(trial: Trial, {workers, rounds, folder}: Setup): Promise<Result> {
	const place = mkdtempSync(join(folder, 'faena-bench-'));
	const faena = await open<Tasks>({queue: join(place, 'jobs.db'), tasks: new URL('../tasks.ts', import.meta.url), workers});
	try {
		return trial.name === 'latency' ? await latency(faena, trial, place) : await drain(faena, trial, rounds);
	} finally {
		await faena.close();
		rmSync(place, {recursive: true});
	}
}

async function drain(faena: Engine<Tasks>, {task, jobs}: Trial, rounds: number): Promise<Result> {
	await faena.enqueueMany(
		'noop',
		Array.from({length: 1000}, () => undefined),
	);
	await faena.idle();
	const payloads = Array.from({length: jobs}, (_, index) => (task === 'noop' ? index : rounds));
	const delay = monitorEventLoopDelay({resolution: 1});
	delay.enable();
	const cpu = process.cpuUsage();
	const start = performance.now();
	await faena.enqueueMany(task as 'hash', payloads);
	await faena.idle();
	const wallMs = performance.now() - start;
	const {user, system} = process.cpuUsage(cpu);
	const {completed} = await faena.counts({task});
	const expected = jobs + (task === 'noop' ? 1000 : 0);
	if (completed !== expected) throw new Error(`${completed} jobs completed, ${expected} expected: void`);
	return {wallMs, cpuMs: (user + system) / 1000, loopP99Ms: delay.percentile(99) / 1e6 - 1};
}

async function latency(faena: Engine<Tasks>, {jobs}: Trial, place: string): Promise<Result> {
	const times: number[] = [];
	for (let index = 0; index < jobs + 50; index++) {
		const start = performance.now();
		await faena.call('hash', 1);
		times.push(performance.now() - start);
	}
	const wallMs = times.reduce((sum, time) => sum + time, 0);
	return {wallMs, cpuMs: 0, latencyMs: median(times.slice(50)), fsyncMs: fsyncMs(place)};
}

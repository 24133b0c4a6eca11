import type {Durability} from '../../lib/job/job.ts';

/**
 * Opens the file that a killed process left, finishes its jobs, and sends its measurement:
 * `recovery-start.ts SPAWNED_MS FILE CASE SURROUNDINGS`. Almost all imports are dynamic, so that the first line runs early.
 */
const firstLine = process.hrtime();
const {open} = await import('../../lib/index.ts');
const imported = process.hrtime();
const {subscribe, unsubscribe} = await import('node:diagnostics_channel');
const {default: Database} = await import('better-sqlite3');
const {sharedMs} = await import('../measure/clock.ts');
const {TASKS} = await import('../measure/engine.ts');
const {observe} = await import('../measure/observe.ts');
const {sumBelow} = await import('../measure/sums.ts');

import type {Engine} from '../../lib/index.ts';
import type {Tasks} from '../measure/engine.ts';
import {RECORDED} from '../measure/recorded.ts';
import type {Case, Measurement, Surroundings} from '../plan/suite.ts';

const [spawnedMs, file = '', ...texts] = process.argv.slice(2);
const [given, surroundings] = texts.map(text => JSON.parse(text)) as [Case & {readonly durability: Durability}, Surroundings];
process.send?.(await start());

async function start(): Promise<Measurement> {
	let [calledMs, openedMs, resultMs] = [0, 0, 0];
	let faena: Engine<Tasks> | undefined;
	const observed = await observe(surroundings, async () => {
		calledMs = sharedMs();
		const firstResult = nextCompletion();
		const {workers, durability} = given;
		faena = await open<Tasks>({queue: file, tasks: TASKS, workers, durability});
		openedMs = sharedMs();
		[resultMs] = await Promise.all([firstResult, finish(faena)]);
	});
	// Closed only after the measurement, which can't attribute the CPU time of threads that have ended.
	await faena?.close();
	const {firstStartMs, interrupted, before} = readOutcomes(calledMs);
	const [firstLineMs, importedMs] = [toMs(firstLine), toMs(imported)];
	return {
		...observed,
		figures: {
			processStartMs: firstLineMs - Number(spawnedMs),
			importMs: importedMs - firstLineMs,
			openMs: openedMs - calledMs,
			firstJobMs: firstStartMs - calledMs,
			firstResultMs: resultMs - calledMs,
			...{backlog: given.jobs - before, interrupted},
		},
	};
}

function toMs([seconds, nanoseconds]: readonly [number, number]): number {
	return seconds * 1000 + nanoseconds / 1e6;
}

/** Uses a channel instead of `on`, because the first job may complete before `open()` returns. It then unsubscribes, because listening costs time. */
function nextCompletion(): Promise<number> {
	return new Promise(resolve => {
		const listener = () => {
			resolve(sharedMs());
			unsubscribe('faena:job:completed', listener);
		};
		subscribe('faena:job:completed', listener);
	});
}

async function finish(faena: Engine<Tasks>): Promise<void> {
	await faena.idle();
	const {completed, ...others} = await faena.counts();
	const left = Object.entries(others).filter(([, jobs]) => jobs > 0);
	if (completed !== given.jobs || left.length > 0) throw new Error(`Of ${given.jobs} jobs ${completed} completed, and there are ${JSON.stringify(others)}`);
}

/** Checks that each job completed once, and counts the jobs that were done before and those that ran again. */
function readOutcomes(calledMs: number) {
	const database = new Database(file, {readonly: true});
	const number = "json_extract(value, '$[0]')";
	const at = "json_extract(value, '$[1]')";
	const sql = `select count(*), count(distinct ${number}), total(${number}), min(${at}) filter (where ${at} >= :calledMs), total(execution > 1), total(${at} < :calledMs)
		from ${RECORDED}`;
	const row = database.prepare(sql).raw().get({calledMs}) as number[];
	database.close();
	const [count = 0, different, sum, firstStartMs = Number.NaN, interrupted = 0, before = 0] = row;
	if (count !== given.jobs || different !== count || sum !== sumBelow(count))
		throw new Error(
			`${count} jobs completed, ${different} of them different, and they add up to ${sum}; expected were ${given.jobs} and ${sumBelow(given.jobs)}`,
		);
	if (interrupted === 0 || before === count)
		throw new Error(`There was nothing to recover: of ${count} jobs ${before} were done before, and ${interrupted} were interrupted`);
	return {firstStartMs, interrupted, before};
}

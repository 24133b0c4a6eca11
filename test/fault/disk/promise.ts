import Database from 'better-sqlite3';
import {open} from '../../../lib/index.ts';
import {makeEveryJob, outcomesOf} from '../../fixtures/stored.ts';
import {brokenLaws} from '../laws.ts';

const TASKS = new URL('../../fixtures/disk-tasks.ts', import.meta.url);

/**
 * Opens what a run of `disk-steps` left, on a sound disk, lets it end, and holds it to what the program was told: a sentence
 * for each promise that was not kept.
 */
export async function brokenPromises(queue: string, told: readonly string[]): Promise<string[]> {
	const faena = await open<typeof import('../../fixtures/disk-tasks.ts')>({queue, tasks: TASKS, isolation: 'inline', lease: '1s', durability: 'normal'});
	const broken = [...brokenAsFound(queue, told)];
	await faena.resume();
	await faena.enqueue('echo', 'again', {key: 'again'});
	await faena.idle();
	const {completed, ...others} = await faena.counts();
	for (const [status, jobs] of Object.entries(others)) if (jobs > 0) broken.push(`In the end ${jobs} jobs are ${status}.`);
	const executed = new Map((await faena.jobs().page({limit: 1000})).map(({id, attempts, executions}) => [id, {attempts, executions}]));
	for (const [id, {attempts}] of executed) if (attempts > 2) broken.push(`Job ${id} was charged ${attempts} attempts.`);
	await faena.close();
	return [...broken, ...lawsOf(queue)];
}

/** Before anything runs again. */
export function* brokenAsFound(queue: string, told: readonly string[]): Iterable<string> {
	yield* lawsOf(queue);
	const db = new Database(queue, {readonly: true});
	try {
		makeEveryJob(db);
		const isThere = db.prepare('select 1 from every_job where id = ? and (key = ? or key is null)');
		const completed = new Set(outcomesOf(db).flatMap(({id, status}) => (status === 6 ? [id] : [])));
		const idOf = db.prepare('select id from key where key = ?').pluck();
		const isCleaned = told.includes('cleaning');
		const before = new Set(isCleaned ? told.slice(0, told.indexOf('cleaning')) : []);
		for (const line of told) {
			const [verb, key = '', id = ''] = line.split(' ');
			if (verb === 'Untyped') yield line;
			// What had completed before a cleanup may be gone.
			if (before.has(line)) continue;
			if (verb === 'enqueued' && !isThere.get(Number(id), key)) yield `Lost: ${line}.`;
			if (verb === 'completed' && !completed.has(idOf.get(key) as number)) yield `Forgotten: ${line}.`;
		}
	} finally {
		db.close();
	}
}

function lawsOf(queue: string): string[] {
	const db = new Database(queue, {readonly: true});
	try {
		return brokenLaws(db);
	} finally {
		db.close();
	}
}

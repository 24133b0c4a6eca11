import {median} from '../analyse/statistics.ts';
import {withEngine} from '../measure/engine.ts';
import {observe} from '../measure/observe.ts';
import type {Case, Measurement, Surroundings} from '../plan/suite.ts';

/** Number of jobs that are cancelled one by one, and of pages that are listed. */
const SINGLE = 50;

/**
 * Measures verbs on a queue of `jobs` jobs: half of them have completed, half are pending and paused. The trial cancels jobs one by
 * one by their ids, lists a page of a hundred jobs from the middle on, cancels all pending jobs, and cleans up the completed ones.
 */
export async function backlog(given: Case, surroundings: Surroundings): Promise<Measurement> {
	return withEngine(given, surroundings, async faena => {
		const numbers = Array.from({length: given.jobs / 2}, (_, number) => number);
		const completed = await faena.enqueueMany('identity', numbers);
		await faena.idle();
		await faena.pause('identity');
		const pending = await faena.enqueueMany('identity', numbers);
		const [middle, step] = [(completed.ids.at(-1) ?? 0) + Math.floor(numbers.length / 2), Math.max(1, Math.floor(numbers.length / (2 * SINGLE)))];
		const singles = Array.from({length: Math.min(SINGLE, numbers.length)}, (_, index) => pending.ids[index * step] as number);
		const cancels: number[] = [];
		const pages: number[] = [];
		const figures: Record<string, number> = {};
		const observed = await observe(surroundings, async () => {
			for (const id of singles) cancels.push(await timed(() => faena.cancel(id)));
			for (let page = 0; page < SINGLE; page++) pages.push(await timed(() => faena.jobs({status: 'pending'}).page({after: middle})));
			figures['cancelAllMs'] = await timed(() => faena.cancel({task: 'identity'}));
			figures['cleanupMs'] = await timed(() => faena.cleanup({olderThan: 0}));
		});
		const {completed: kept, pending: missed} = await faena.counts();
		if (missed + kept > 0) throw new Error(`${missed} jobs were not cancelled, and ${kept} not cleaned up`);
		return {...observed, figures: {cancelOneMs: median(cancels), pageMs: median(pages), ...figures}};
	});
}

async function timed(run: () => Promise<unknown>): Promise<number> {
	const start = performance.now();
	await run();
	return performance.now() - start;
}

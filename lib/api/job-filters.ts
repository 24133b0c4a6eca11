import {bad, checked, choice, integer, list, show, text} from '../job/checks.ts';
import {type JobFilter, type JobId, type Page, STATUSES} from '../job/job.ts';

/** @throws FaenaError `BadOption` */
export function checkId(id: unknown): JobId {
	if (Number.isSafeInteger(id) && (id as number) > 0) return id as JobId;
	throw bad(`A job's id is a positive whole number; it got ${show(id)}`);
}

/** Checks the filter of a verb that changes jobs. A condition that is `undefined` is refused: it is a mistake, and would widen the filter. */
export function toFilter(where: string, jobs: JobId | JobFilter): JobFilter {
	if (typeof jobs !== 'object') return {ids: [checkId(jobs)]};
	const filter = checkFilter(where, jobs);
	const missing = Object.entries(jobs).find(([, value]) => value === undefined);
	if (missing) throw bad(`${where} got ${missing[0]}: undefined, which would mean every job; leave ${missing[0]} out if that is meant`);
	return filter;
}

export function checkFilter(where: string, filter: JobFilter): JobFilter {
	return checked(where, filter, {
		task: text,
		batch: text,
		ids: value => list(value).map(checkId),
		status: value => (Array.isArray(value) ? value.map(choice(...STATUSES)) : choice(...STATUSES)(value)),
	});
}

export function checkPage(page: Page): Page {
	return checked('jobs()', page, {after: integer(0, Number.MAX_SAFE_INTEGER), limit: integer(1, 100_000)});
}

import type {Deleted, EndedBefore, EndedDeletion, EndTimes} from '../deletions.ts';
import type {SearchPage} from '../found-jobs.ts';
import type {Calls} from './connection/calls.ts';
import type {NumberTables} from './number-tables.ts';

const MAX_DELETED_JOBS = 2000;

/** Calls a function that changes jobs. */
type Change = <Name extends 'delete_by_id' | 'delete_ended_before' | 'delete_outdated'>(
	name: Name,
	call: Calls[Name]['takes'],
) => Promise<Calls[Name]['answers']>;

/** Deletes a page of jobs that have ended. */
export async function deleteEnded(change: Change, names: NumberTables, what: EndedDeletion, {after, limit = MAX_DELETED_JOBS}: SearchPage): Promise<Deleted> {
	const from = typeof after === 'number' ? after : 0;
	const place = typeof after === 'object' ? after : {value: 0, id: 0};
	const {deleted, next} =
		'ids' in what
			? await change('delete_by_id', {ids: what.ids, after: from, limit})
			: 'endedBefore' in what
				? await change('delete_ended_before', {before: Math.min(what.endedBefore, Number.MAX_SAFE_INTEGER), after: from, limit})
				: await change('delete_outdated', {...(await toTimes(names, what.ended)), afterValue: place.value, afterId: place.id, limit});
	return {deleted, next};
}

/** Times of all tasks, of tasks by their numbers, and the latest of all, as the function `delete_outdated` takes them. */
async function toTimes(names: NumberTables, {tasks, ...times}: EndedBefore): Promise<Pick<Calls['delete_outdated']['takes'], 'times' | 'tasks' | 'latest'>> {
	const ids = await names.find([...tasks.keys()]);
	const own = [...tasks].filter(([task]) => ids.has(task)).map(([task, each]) => [ids.get(task), each]);
	const latest = (status: keyof EndTimes) => Math.max(times[status], ...[...tasks.values()].map(each => each[status]));
	return {
		...{times, tasks: Object.fromEntries(own)},
		latest: {completed: latest('completed'), dead: latest('dead'), cancelled: latest('cancelled')},
	};
}

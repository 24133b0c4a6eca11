import {type JobExecution, toExecution} from '../job/claim.ts';
import {decode} from '../job/encoding.ts';
import {listRanges} from '../job/groups/group.ts';
import {type Job, type JobId, type JobStatus, type LogLine, toJob} from '../job/job.ts';
import {pages} from '../job/search.ts';
import type {StoredJob, Wanted} from '../store/found-jobs.ts';
import type {DispatcherClient} from '../transport/client.ts';

/** A job with its values, log and history: what `info()` of its handle returns. @example const info: JobInfo | undefined = await faena.job(17).info(); */
export interface JobInfo<Payload = unknown, Result = unknown> extends Job {
	/** The payload, decoded. */
	readonly payload: Payload;
	/** The result of a completed job. */
	readonly result?: Result;
	/** The state of `ctx.checkpoint(state)` from which its next execution goes on, which execution kept it, and when, in milliseconds since 1970. */
	readonly checkpoint?: {readonly execution: number; readonly at: number; readonly state: unknown};
	/** The jobs for which it has waited, in the order of `dependsOn`. */
	readonly parents: readonly JobId[];
	/** The jobs that have waited for it, or wait. */
	readonly children: readonly JobId[];
	/** The last log lines, at most 200. */
	readonly logs: readonly LogLine[];
	/** Its executions that have ended, in order, also those of earlier rounds: at most the first ten and the last ten. */
	readonly history: readonly JobExecution[];
}

export async function infoOf(client: DispatcherClient, id: JobId): Promise<JobInfo | undefined> {
	const {jobs} = await client.verb('jobs', {ids: [id]}, {limit: 1}, {values: true, logs: true, history: true, edges: true});
	const [job] = jobs as readonly Required<StoredJob>[];
	if (!job) return undefined;
	const {values, logs, history, edges, ...row} = job;
	const {result, checkpoint} = values;
	return {
		...toJob(row),
		payload: await payloadOf(client, job),
		parents: listRanges(edges.parents),
		children: listRanges(edges.children),
		...(result !== undefined && {result: decode(result)}),
		...(checkpoint && {checkpoint: {...checkpoint, state: decode(checkpoint.state)}}),
		logs,
		history: history.map(toExecution),
	};
}

/** The payload of a job that has its values and edges, decoded. One made of results of other jobs is made of those that they have now. */
export async function payloadOf(client: DispatcherClient, {values, edges}: StoredJob): Promise<unknown> {
	const payload = values?.payload ?? null;
	let isMade = false;
	const plain = decode(payload, () => {
		isMade = true;
	});
	if (!isMade) return plain;
	const ids = listRanges(edges?.parents ?? []);
	const results = new Map<JobId, unknown>();
	for await (const parent of readJobs(client, {ids}, {values: true}))
		if (parent.status === 'completed') results.set(parent.id, decode(parent.values?.result ?? null));
	return decode(payload, (index, count, onlyCompleted) => {
		if (count === null) return results.get(ids[index] as JobId);
		const named = ids.slice(index, index + count);
		return (onlyCompleted ? named.filter(id => results.has(id)) : named).map(id => results.get(id));
	});
}

/** The job without its values; `undefined` if there is none. */
export async function findJob(client: DispatcherClient, id: JobId): Promise<Job | undefined> {
	const [job] = (await client.verb('jobs', {ids: [id]}, {limit: 1})).jobs;
	return job && toJob(job);
}

/** Jobs that are read together. */
const MAX_READ_JOBS = 1000;

/** Those of the jobs that there are, with what is wanted of them. */
export async function* readJobs(
	client: DispatcherClient,
	{ids, ...search}: {readonly ids: readonly JobId[]; readonly status?: readonly JobStatus[]},
	want: Partial<Record<keyof Wanted, true>>,
): AsyncGenerator<StoredJob, void, undefined> {
	for (let start = 0; start < ids.length; start += MAX_READ_JOBS) {
		const part = {...search, ids: ids.slice(start, start + MAX_READ_JOBS)};
		for await (const {jobs} of pages(after => client.verb('jobs', part, {after, limit: MAX_READ_JOBS}, want))) yield* jobs;
	}
}

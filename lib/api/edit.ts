import {bad, type Checks, checked} from '../job/checks.ts';
import type {EditResult, JobId} from '../job/job.ts';
import type {JobBuilder} from '../job/new-job.ts';
import {checkTimes, JOB_CHECKS} from '../job/options.ts';
import type {JobOptions} from '../job/task.ts';
import type {DispatcherClient} from '../transport/client.ts';

/** Changes of a job that is pending, or that failed and waits for its next attempt. What is left out stays as it is. */
export interface JobChanges<Payload = unknown> extends Pick<JobOptions, 'priority' | 'delay' | 'runAt'> {
	/** Replaces the payload. A checkpoint of the job is deleted, because it belongs to the old one. */
	readonly payload?: Payload;
}

const {priority, delay, runAt} = JOB_CHECKS;
const CHANGES_CHECKS = {payload: value => value, priority, delay, runAt} as Checks;

/** @throws FaenaError `BadOption`, `NotEncodable`, `TooLarge`, `Closed`, … */
export async function editJob(client: DispatcherClient, builder: JobBuilder, id: JobId, changes: JobChanges): Promise<EditResult> {
	const given = checkTimes('edit()', checked('edit()', changes, CHANGES_CHECKS) as {payload?: unknown; priority?: number; delay?: number; runAt?: number});
	if (Object.keys(given).length === 0) throw bad('edit() expects what to change, such as payload, priority, delay or runAt; it got nothing');
	const {payload, delay: delayMs, ...rest} = given;
	return client.verb('edit', id, {...rest, ...(delayMs !== undefined && {delayMs}), ...(payload !== undefined && {payload: builder.encode(payload)})});
}

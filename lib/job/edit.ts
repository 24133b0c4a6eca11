import {bad, type Checks, checked} from './checks.ts';
import type {JobEdit} from './job.ts';
import type {JobBuilder} from './new-job.ts';
import {checkTimes, JOB_CHECKS} from './options.ts';
import type {JobOptions} from './task.ts';

/** What `edit()` changes of a job, one option or more. What is left out stays as it is. */
export interface JobChanges<Payload = unknown> extends Pick<JobOptions, 'priority' | 'delay' | 'runAt'> {
	/** A new argument of the task. The job's checkpoint, which belongs to the old one, is deleted. */
	readonly payload?: Payload;
}

const {priority, delay, runAt} = JOB_CHECKS;
const CHANGES_CHECKS = {payload: value => value, priority, delay, runAt} as Checks;

/** @throws FaenaError `BadOption`, `NotEncodable`, `TooLarge` */
export function toEdit(builder: JobBuilder, changes: JobChanges): Omit<JobEdit, 'id'> {
	const given = checkTimes('edit()', checked('edit()', changes, CHANGES_CHECKS) as {payload?: unknown; priority?: number; delay?: number; runAt?: number});
	if (Object.keys(given).length === 0) throw bad('edit() expects what to change, such as payload, priority, delay or runAt; it got nothing');
	const {payload, delay: delayMs, ...rest} = given;
	return {...rest, ...(delayMs !== undefined && {delayMs}), ...(payload !== undefined && {payload: builder.encode(payload)})};
}

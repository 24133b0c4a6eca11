import {bad, type Checks, checked} from '../job/checks.ts';
import type {JobId} from '../job/job.ts';
import type {JobBuilder} from '../job/new-job.ts';
import {checkTimes, JOB_CHECKS} from '../job/options.ts';
import type {DispatcherClient} from '../transport/client.ts';

const {priority, delay, runAt} = JOB_CHECKS;
const CHANGES_CHECKS = {payload: value => value, priority, delay, runAt} as Checks;

/** @throws FaenaError `BadOption`, `NotEncodable`, `TooLarge`, `Closed`, … */
export async function editJob(client: DispatcherClient, builder: JobBuilder, id: JobId, changes: object): Promise<boolean> {
	const given = checkTimes('edit()', checked('edit()', changes, CHANGES_CHECKS) as {payload?: unknown; priority?: number; delay?: number; runAt?: number});
	if (Object.keys(given).length === 0) throw bad('edit() expects what to change, such as payload, priority, delay or runAt; it got nothing');
	const {payload, delay: delayMs, ...rest} = given;
	return client.verb('edit', id, {
		...rest,
		...(delayMs !== undefined && {delayMs}),
		...(payload !== undefined && {payload: builder.encode(payload)}),
	});
}

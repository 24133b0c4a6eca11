import {decode} from '../job/encoding.ts';
import {fromFailure} from '../job/failure.ts';
import type {Job, JobId, LogLine} from '../job/job.ts';
import {defined} from '../support/defined.ts';
import type {DispatcherClient} from '../transport/client.ts';

/** A job with its values, which `engine.job()` returns. */
export interface JobDetails extends Omit<Job, 'error'> {
	/** The payload, decoded. */
	readonly payload: unknown;
	/** The result of a completed job. */
	readonly result?: unknown;
	/** The state of `ctx.checkpoint(state)` from which its next execution goes on, which execution kept it, and when, in milliseconds since 1970. */
	readonly checkpoint?: {readonly execution: number; readonly at: number; readonly state: unknown};
	/** Why the last execution failed, or why the job ended as dead or cancelled. */
	readonly error?: Error;
	/** The last log lines, at most 200. */
	readonly logs: readonly LogLine[];
}

export async function detailsOf(client: DispatcherClient, id: JobId): Promise<JobDetails | undefined> {
	const [job, values, logs] = await Promise.all([client.verb('job', id), client.verb('values', id), client.verb('logs', id)]);
	if (!job || !values) return undefined;
	const {error, ...rest} = job;
	const {payload, result, checkpoint} = values;
	return {
		...rest,
		payload: decode(payload),
		...(result !== undefined && {result: decode(result)}),
		...defined({checkpoint: checkpoint && {...checkpoint, state: decode(checkpoint.state)}, error: error && fromFailure(error)}),
		logs,
	};
}

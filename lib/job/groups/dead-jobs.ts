import type {Ending} from '../claim.ts';
import {decode, type Encoded, encode} from '../encoding.ts';
import type {FailureRecord} from '../failure.ts';
import type {JobId} from '../job.ts';
import type {ChildJob} from '../new-job.ts';
import {DEFAULT_POLICY, withOwn} from '../options.ts';
import {listParents, readerOf} from '../parent-results.ts';
import {POLICY_OPTIONS, type Policy} from '../policy.ts';
import {type EndedGroup, idAt, indexOf, policyAt} from './group.ts';
import {unpack} from './packed.ts';
import {claimedJobAt} from './single-jobs.ts';

/** The payload of a job that `onDead` has enqueued, or `onError` of a stage.
 * @example export const tell = ({jobId, error}: DeadJob) => console.log(jobId, error.message); */
export interface DeadJob {
	/** The job that is dead. */
	readonly jobId: JobId;
	/** Its task. */
	readonly task: string;
	/** Its key, if it has one. */
	readonly key?: string;
	/** Its payload. */
	readonly payload: unknown;
	/** The name and message of its error. */
	readonly error: {readonly name: string; readonly message: string};
}

/** Of an execution that is refused because of the jobs that it enqueues. Why exactly, only the store finds out. */
const REFUSED = {name: 'FaenaError', message: 'A job that it enqueued was refused: see the error of the job.'};

/** Of a job that tells of a death. Its own death is not told: one that always fails would have no end. */
const POLICY: Policy = {...DEFAULT_POLICY, unset: POLICY_OPTIONS.filter(name => name !== 'onDead')};

/** The group, with the job that is to be enqueued in the same transaction if an execution makes its job dead: `onDead` of its policy. */
export function withOnDead(group: EndedGroup): EndedGroup {
	const {claimed, endings, ids, own} = group;
	if (!claimed || !endings || (own?.onDead === undefined && ![claimed.policies].flat().some(({onDead}) => onDead !== undefined))) return group;
	let payloads: readonly Encoded[] | undefined;
	const parents = listParents(claimed);
	const added = [...endings].map(([index, ending]): [number, Ending] => {
		const error = errorOf(ending);
		const place = indexOf(claimed, idAt(ids, index));
		const {onDead, maxAttempts} = withOwn(policyAt(claimed.policies, place), own);
		const job = claimedJobAt(claimed, place);
		if (onDead === undefined || !error || !mayBeTheLast(ending, job.attempts, maxAttempts)) return [index, ending];
		payloads ??= unpack(claimed.values);
		const values = payloads;
		const payload = readable(() => decode(values[place] ?? null, readerOf(parents.get(place) ?? [])));
		return [index, {...ending, onDead: toOnDead(onDead, {...job, payload}, error)} as Ending];
	});
	return {...group, endings: new Map(added)};
}

/** False if the job will surely be tried again: then nothing is made of its payload. How often it has crashed, only the store knows. */
function mayBeTheLast(ending: Ending, attempts: number, maxAttempts: number): boolean {
	return ending.type === 'lostWorker' || ('error' in ending && ending.error?.retry === 'never') || attempts + 1 >= maxAttempts;
}

/** A payload that can't be read may be why the job is dead. */
function readable(read: () => unknown): unknown {
	try {
		return read();
	} catch {
		return undefined;
	}
}

function errorOf(ending: Ending): Pick<FailureRecord, 'name' | 'message'> | undefined {
	if (ending.type === 'returned') return ending.enqueue && REFUSED;
	return ending.type === 'cancelled' || ending.type === 'released' ? undefined : ending.error;
}

/** The job of this task that tells of a dead one. */
export function toOnDead(
	task: string,
	{id, task: of, scope, key, payload}: {readonly id: number; readonly task: string; readonly scope?: string; readonly key?: string; readonly payload: unknown},
	{name, message}: Pick<FailureRecord, 'name' | 'message'>,
): ChildJob {
	const dead: DeadJob = {jobId: id, task: of, ...(key !== undefined && {key}), payload, error: {name, message}};
	return {task, ...(scope !== undefined && {scope}), payload: encode(dead, 'payload', Infinity), priority: 0, runAt: null, policy: POLICY};
}

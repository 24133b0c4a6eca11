/**
 * What the functions of the schema take as JSON, and what they answer: functions/*.sql. Times are milliseconds since 1970, or durations in milliseconds;
 * tasks, policies and owners are numbers in rows unless they are called names.
 */

import type {BatchId, CompletedBatch, FlowJobs} from '../../../job/batch.ts';
import type {Claim, JobUpdate, Lease, OwnerId} from '../../../job/claim.ts';
import type {EnqueuedGroup, FullQueue, NewGroup} from '../../../job/groups/group.ts';
import type {JobId} from '../../../job/job.ts';
import type {NextState} from '../../../job/next-state.ts';
import type {OpenJobs} from '../../../job/open-jobs.ts';
import type {Parents} from '../../../job/parents.ts';
import type {ScheduleDecision, ScheduleResult} from '../../../job/schedule.ts';
import type {MoveTarget, Place} from '../../../job/search.ts';
import type {EndTimes} from '../../deletions.ts';
import type {KeySpace} from '../../found-jobs.ts';
import type {OwnerRow} from '../../owners/owners.ts';
import type {Released} from '../../store.ts';
import type {StoredBatchRow} from '../../stored-rows.ts';
import type {CountRow, StoredState} from '../../stored-state.ts';
import type {Seen} from './claimed-from.ts';

/** What a call did that listeners hear of. */
export interface Effects {
	readonly completed?: readonly CompletedBatch[];
	/** Jobs that were cancelled because of a parent. */
	readonly lost?: readonly JobId[] | null;
}

interface Call<Takes, Answer> {
	readonly takes: Takes;
	readonly answers: Answer;
}

/** A page of a deletion. */
type Deletes<Takes, Next> = Call<Takes & {readonly limit: number}, {readonly deleted: number; readonly next: Next | null} & Effects>;

export interface Calls {
	readonly set_paused: Call<{readonly tasks: readonly string[]; readonly paused: boolean}, null>;
	/** Answers whether the scope was known. */
	readonly adopt: Call<{readonly from: string; readonly to: string}, boolean>;
	/** `id`: of the row, `null` for any. Answers whether there is such an owner. */
	readonly heartbeat: Call<{readonly owner: OwnerId; readonly id: number | null}, boolean>;
	/** `null`: a later call has overtaken it. `owner`: its row, if it is registered. */
	readonly release: Call<
		{readonly owner: OwnerId; readonly after: Lease; readonly leave: boolean},
		(Released & Effects & {readonly owner: number | null}) | null
	>;
	/** `null`: the heartbeat has changed. */
	readonly reclaim: Call<{readonly owner: number; readonly heartbeatAt: number; readonly open: readonly OpenJobs[]}, (Released & Effects) | null>;
	/** `lease`: after so long without a heartbeat an owner counts as silent. */
	readonly look_at_owners: Call<{readonly lease?: number}, Effects & {readonly owners: readonly (Omit<OwnerRow, 'isLocal'> & {readonly host: string})[]}>;
	/** `version`: how many changes other stores have made so far. `arrived`: whether jobs of programs' own transactions have. `now`: the server's time. */
	readonly news: Call<
		{readonly owner: OwnerId | undefined},
		{readonly version: number; readonly arrived: boolean; readonly now: number; readonly stop: readonly Claim[]}
	>;
	/** `next`: the last job that was looked at. */
	readonly move: Call<
		{readonly filter: object; readonly states: readonly StoredState[]; readonly to: MoveTarget; readonly after: JobId; readonly upTo: JobId | undefined} & {
			readonly limit: number;
			readonly stop: boolean;
			readonly isHeld: boolean;
		},
		Effects & {readonly ids: readonly JobId[]; readonly asked: readonly JobId[]; readonly next: JobId | null; readonly upTo: JobId}
	>;
	/** `conflict`: what the batch is that has the name. */
	readonly open_batch: Call<
		{readonly name: string; readonly task: number | null; readonly owner: OwnerId; readonly onComplete: object | null; readonly shape: unknown},
		Effects & {
			readonly id?: BatchId;
			readonly owner?: number;
			readonly inUse?: true;
			readonly conflict?: {readonly task: string | null; readonly stages: readonly string[] | null};
		}
	>;
	/** `owner` in the answer: its row, if it has one. */
	readonly change_batch: Call<
		{readonly batch: BatchId; readonly owner: OwnerId} & (
			| {readonly total: number; readonly flowJobs?: FlowJobs}
			| {readonly closes: boolean; readonly isDone: boolean}
		),
		Effects & {readonly done: boolean; readonly owner?: number}
	>;
	/** A list. */
	readonly read_batches: Call<
		{readonly name: string | undefined; readonly after: BatchId; readonly limit: number},
		Omit<StoredBatchRow, 'marks' | 'shape'> & {
			readonly marks: unknown;
			readonly shape: unknown;
			readonly counts: readonly CountRow[] | null;
			readonly isOwned: boolean;
		}
	>;
	readonly delete_by_id: Deletes<{readonly ids: readonly JobId[]; readonly after: JobId}, JobId>;
	readonly delete_ended_before: Deletes<{readonly before: number; readonly after: JobId}, JobId>;
	/** `times` are those of all tasks, `tasks` those of tasks with their own, `latest` the latest of all. In JSON, -Infinity is `null`: never. */
	readonly delete_outdated: Deletes<
		{
			readonly times: EndTimes;
			readonly tasks: Readonly<Record<string, EndTimes>>;
			readonly latest: EndTimes;
			readonly afterValue: number;
			readonly afterId: JobId;
		},
		Place
	>;
	/** `closedAt`: nothing is deleted if the batch was closed at another time since. `running`: how many jobs run, if some do. */
	readonly delete_batch: Deletes<{readonly batch: BatchId; readonly closedAt?: number | undefined}, JobId> & Call<unknown, {readonly running?: number}>;
	readonly holders: Call<KeySpace & {readonly keys: readonly string[]}, never>;
	/** Answers rows of claimed jobs, and a last one with the rest. */
	readonly commit: Call<CommitCall, CommitAnswer>;
}

/** Where the values of an item are among those of the call, from 1: an element each, or a text with a line each. */
interface ItemValues {
	readonly packed: boolean;
	readonly values: number;
}

/** New jobs. `number`: their keys are numbers from this one. `index`: of the group; `reject`: a conflict fails the call. */
export interface NewItem extends ItemValues, Pick<NewGroup, 'scope' | 'batch' | 'run' | 'unique' | 'rerun' | 'outdated'> {
	readonly task: number | undefined;
	readonly policy: number | undefined;
	readonly priority: number;
	readonly count: number;
	readonly delay?: number;
	readonly at?: number | null;
	readonly expires?: number;
	readonly max?: NewGroup['maxPending'];
	readonly number?: number;
	readonly keys?: readonly string[];
	readonly fingerprints?: ItemValues & {readonly count: number};
	readonly parents?: Omit<Parents, 'edges'> & {readonly edges: readonly object[]};
	readonly index?: number;
	readonly reject?: true;
}

/** By what the end of an execution is decided. `policy` and `stop` are the numbers in the rows. */
export type Facts = readonly [attempts: number, crashes: number, delays: number, suspicion: number, policy: number, stop: number | null];

/** A {@link NextState}, and by what it was decided. `charges`: attempts, crashes, delays, suspicion. */
export interface Decision extends Pick<NextState, 'to' | 'waitMs'> {
	readonly facts: Facts;
	readonly failure?: string | undefined;
	readonly charges?: readonly number[] | undefined;
}

/** How executions ended. `returned`: of jobs with consecutive ids; others: of one. `maker`: it enqueues jobs, or ends as is said. `settled`: twice. */
export interface EndedJson extends Partial<Decision>, Partial<ItemValues> {
	readonly type: 'returned' | 'maker' | 'settled' | 'threw' | 'timedOut' | 'lostWorker' | 'cancelled' | 'released';
	readonly first: JobId;
	readonly last?: JobId;
	readonly lease?: Lease;
	readonly execution?: number;
	readonly worker?: string | undefined;
	readonly code?: string | undefined;
	/** Of the packed times, among the values. */
	readonly times?: number;
	/** By which lists are sorted: earliest and latest start, shortest and longest duration; or of each job. */
	readonly bounds?: readonly (number | null)[];
	readonly starts?: readonly number[];
	readonly durations?: readonly number[];
	readonly groups?: readonly NewItem[];
	/** What is enqueued if the job is dead. */
	readonly onDead?: readonly NewItem[];
	/** A job that was released goes on waiting for its start. */
	readonly mayExpire?: boolean;
}

/** What a change of a schedule does, by its id (none if the call makes it), its version (0 for none), and whether its last job has not ended. */
export type DecidedChange = {readonly name: string; readonly id: number | undefined; readonly version: number; readonly isRunning: boolean} & (
	| ScheduleDecision
	| {readonly type: 'none'}
);

/** What a running job reports. `values`: the place of its checkpoint. */
export interface UpdateItem extends Omit<JobUpdate, 'checkpoint'> {
	readonly at?: number;
	readonly values?: number;
}

/** A job with other options. A time of `null` means at once. */
export interface EditItem {
	readonly id: JobId;
	readonly priority?: number | undefined;
	readonly at?: number | null | undefined;
	readonly delay?: number | undefined;
	readonly values?: number | undefined;
}

/** Items to do, in this order, and what to claim. */
interface CommitCall {
	readonly alone: boolean;
	readonly update?: readonly UpdateItem[] | undefined;
	readonly settle?: readonly EndedJson[] | undefined;
	readonly edit?: readonly EditItem[] | undefined;
	readonly enqueue?: readonly NewItem[] | undefined;
	readonly schedule?: readonly object[] | undefined;
	readonly claim?: object | undefined;
	/** Nothing of programs' own transactions need be looked for. */
	readonly nothingArrived?: boolean | undefined;
	/** It is to wake the listeners of other stores. */
	readonly told?: boolean | undefined;
	/** What the items may make that is looked for once. */
	readonly mayWait?: boolean | undefined;
	readonly mayExpire?: boolean | undefined;
	readonly hasBatches?: boolean | undefined;
}

/** `null` for what was not asked. */
interface CommitAnswer extends Effects {
	readonly settled: readonly EndedAnswer[] | null;
	readonly edited: readonly (StoredState | 'edited' | 'missing')[] | null;
	readonly enqueued: readonly (EnqueuedGroup & {readonly full?: FullQueue})[] | null;
	readonly scheduled: readonly ScheduleResult[] | null;
	/** The number of the owner that claimed. */
	readonly owner: number | null;
	readonly lease: Lease | null;
	readonly backlog: number | null;
	readonly unblocked: boolean;
	readonly due: number | null;
	readonly expired: readonly JobId[] | null;
	readonly expires: number | null;
	readonly moment: number | null;
	readonly seen: Seen | null;
	/** True if more jobs of programs' own transactions are left to be taken over. */
	readonly moreArrived: boolean;
	/** True if it has woken the listeners of other stores. */
	readonly told: boolean | null;
}

/** The answer to an item: ranges of jobs whose claim was lost; of an item that did not return, whether its claim was; the failure of one that enqueues jobs. */
export type EndedAnswer = readonly (readonly [first: JobId, last: JobId])[] | 'done' | 'lost' | {readonly refusal: string};

import type {Lease} from '../../job/claim.ts';
import type {ClaimedGroup, NewGroup} from '../../job/groups/group.ts';
import {newJobsOf} from '../../job/groups/single-jobs.ts';
import type {EditResult, JobId} from '../../job/job.ts';
import type {NewJob} from '../../job/new-job.ts';
import {FaenaError} from '../../support/errors.ts';
import {keyConflict, noParent} from '../conflict-errors.ts';
import type {Changes, Committed} from '../store.ts';
import {STATUS_OF} from '../stored-state.ts';
import {type ClaimedRow, toClaimedGroups} from './claimed-rows.ts';
import {CallEncoder, toEnqueued} from './commit-items.ts';
import {CallValues} from './connection/call-values.ts';
import type {Calls, DecidedChange, Facts} from './connection/calls.ts';
import type {ClaimedFrom} from './connection/claimed-from.ts';
import type {Database} from './connection/database.ts';
import {KEY_CONFLICT, LATE_CLAIM, MUST_BE_ALONE, NOT_DECIDED} from './connection/error-codes.ts';
import {codeOf, withoutAnswer} from './connection/postgres-errors.ts';
import {childJobsOf, type EndedItem, endedItems, toSettled} from './ended-items.ts';
import type {Basis, KnownFacts} from './facts.ts';
import type {Numbers, NumberTables} from './number-tables.ts';
import {decideChanges} from './schedules.ts';

/** What a store's transactions share. */
export interface CommitContext {
	readonly db: Database;
	readonly names: NumberTables;
	readonly claimedFrom: ClaimedFrom;
	readonly facts: KnownFacts;
	/** Returns a number in [0, 1). */
	readonly random: () => number;
	/** True if it need not look for jobs that programs have enqueued in their own transactions. */
	readonly hasNothingArrived: boolean;
	/** True if it is to wake the listeners of other stores, unless another one is about to. */
	readonly tellsItself: boolean;
}

type Answer = Calls['commit']['answers'];

/** Does all changes in one transaction. What was decided by other facts than those in the database is decided anew. */
export async function commit(context: CommitContext, changes: Changes): Promise<{readonly committed: Committed; readonly answer: Answer}> {
	const {db, names, claimedFrom, facts} = context;
	const {settle = [], enqueue = [], schedule = []} = changes;
	const specs = schedule.flatMap(change => (change.type === 'set' ? [change.spec] : []));
	const numbers = await names.number([...enqueue, ...settle.flatMap(childJobsOf), ...specs], {waits: false});
	const {rows, ended} = await sendDecided(context, changes, numbers).catch(error => {
		throw toConflict(error, enqueue);
	});
	// The last row has the answer but the claimed jobs.
	const {info: answer} = rows.pop() as unknown as {readonly info: Answer};
	const named = await names.read(rows.filter(({policy}) => policy !== null)).catch(error => {
		throw withoutAnswer(error);
	});
	if (answer.seen) claimedFrom.saw(answer.seen);
	if (answer.lease !== null) facts.claimed(answer.lease, rows, named);
	const due = Math.min(answer.due ?? Infinity, claimedFrom.dueInMs ?? Infinity);
	const claimed = toClaimedGroups(rows, {lease: answer.lease ?? 0, named, aheadMs: db.clock.aheadMs});
	return {committed: toCommitted(changes, claimed, answer, {ended, due}), answer};
}

interface Sent {
	readonly rows: ClaimedRow[];
	readonly ended: readonly EndedItem[];
}

/** @param told facts that the server has told, by the execution */
async function sendDecided(context: CommitContext, changes: Changes, numbers: Numbers, told: ReadonlyMap<string, Basis> = new Map(), tries = 1): Promise<Sent> {
	const {db, names, claimedFrom, facts, random, hasNothingArrived, tellsItself} = context;
	const basisOf = (lease: Lease, execution: number, id: JobId) => told.get(`${lease} ${execution} ${id}`) ?? facts.of(lease, id);
	const make = new CallEncoder(new CallValues(), numbers, random, basisOf);
	const ended = endedItems(changes.settle ?? [], make);
	const schedule = changes.schedule && (await decideChanges(db, changes.schedule, random));
	const call = {
		...toCall({...changes, schedule}, ended, make, claimedFrom),
		...(hasNothingArrived && {nothingArrived: true}),
		...(tellsItself && {told: true}),
	};
	try {
		return {rows: await send(db, call, make.values, needsAll(changes)), ended};
	} catch (error) {
		if (codeOf(error) !== NOT_DECIDED || tries === MAX_TRIES) throw error;
		const {detail} = (error instanceof FaenaError ? error.cause : error) as {readonly detail: string};
		const undecided = JSON.parse(detail) as readonly (readonly [item: number, facts: Facts])[];
		const named = await names.read(undecided.map(([, {4: policy}]) => ({policy})));
		const anew = undecided.map(([item, facts]) => {
			const {lease, execution, first} = (ended[item] as EndedItem).json;
			return [`${lease} ${execution} ${first}`, {facts, policy: named.policy(facts[4])}] as const;
		});
		return sendDecided(context, changes, numbers, new Map([...told, ...anew]), tries + 1);
	}
}

function toCall(
	{update = [], edit, enqueue = [], schedule, rejectConflicts = false, claim}: Omit<Changes, 'schedule'> & {readonly schedule: DecidedChange[] | undefined},
	ended: readonly EndedItem[],
	make: CallEncoder,
	claimedFrom: ClaimedFrom,
): Omit<Calls['commit']['takes'], 'alone'> {
	return {
		...(update.length > 0 && {update: update.map(each => make.update(each))}),
		...(ended.length > 0 && {settle: ended.map(({json}) => json)}),
		edit: edit?.map(each => make.edit(each)),
		...(enqueue.length > 0 && {
			enqueue: enqueue.map((group, index) => ({...make.newGroup(group), index, ...(rejectConflicts && {reject: true})})),
		}),
		schedule: schedule?.map(each => make.schedule(each)),
		claim: claim && make.claim(claim, claimedFrom),
		...((ended.some(({json}) => json.type !== 'returned') || enqueue.some(({delayMs, runAt}) => (delayMs ?? runAt ?? null) !== null)) && {mayWait: true}),
		...(enqueue.some(({expiresMs}) => expiresMs !== undefined) && {mayExpire: true}),
		...(enqueue.some(({batch}) => batch !== undefined) && {hasBatches: true}),
	};
}

/** True if the changes may touch what other calls are reading. */
function needsAll({edit, schedule, settle = [], enqueue = []}: Changes): boolean {
	return (
		edit !== undefined ||
		schedule !== undefined ||
		settle.some(group => childJobsOf(group).length > 0) ||
		enqueue.some(({parents, rerun, maxPending}) => parents ?? rerun ?? maxPending)
	);
}

/** Codes of calls that have done nothing, since they met others: that one has taken a key, a deadlock, the same number of a batch, and a release of the owner's claims. */
const MET_OTHERS: ReadonlySet<string> = new Set(['40001', '40P01', '23505', LATE_CLAIM]);
/** A call that meets others this often meets something else. */
const MAX_TRIES = 10;

/** Whether a call must be alone shows only in the database, if it ends a job for which others wait. */
async function send(db: Database, call: Omit<Calls['commit']['takes'], 'alone'>, values: CallValues, isAlone: boolean, tries = 1): Promise<ClaimedRow[]> {
	try {
		return await db.commit<ClaimedRow>({...call, alone: isAlone}, values);
	} catch (error) {
		const code = codeOf(error);
		if (!isAlone && code === MUST_BE_ALONE) return send(db, call, values, true);
		if (tries < MAX_TRIES && MET_OTHERS.has(code)) return send(db, call, values, isAlone, tries + 1);
		throw error;
	}
}

function toConflict(error: unknown, enqueue: readonly NewGroup[]): unknown {
	if (codeOf(error) !== KEY_CONFLICT) return error;
	const [group, index, id] = JSON.parse((error as {readonly detail: string}).detail) as [number, number | null, JobId];
	const refused = enqueue[group] as NewGroup;
	return id < 0 || index === null ? noParent(refused.task, id) : keyConflict([...newJobsOf(refused)][index] as NewJob, id);
}

function toCommitted(
	{settle = [], edit, schedule}: Changes,
	claimed: readonly ClaimedGroup[],
	answer: Answer,
	{ended, due}: {readonly ended: readonly EndedItem[]; readonly due: number},
): Committed {
	const {lease, expired, expires, moment} = answer;
	return {
		settled: toSettled(settle.length, ended, answer.settled ?? []),
		...(edit && {edited: (answer.edited ?? []).map(toEdited)}),
		...(schedule && {scheduled: answer.scheduled ?? []}),
		enqueued: (answer.enqueued ?? []).map(toEnqueued),
		claimed: {lease: lease ?? 0, groups: claimed},
		// At least those that a claim could take once they are taken over.
		backlog: (answer.backlog ?? 0) + (answer.moreArrived ? 1 : 0),
		...(answer.unblocked && {unblocked: true}),
		dueInMs: due === Infinity ? null : Math.max(0, due),
		...(expired && expired.length > 0 && {expired}),
		...(expires !== null && {expiresInMs: expires}),
		...(moment !== null && {momentInMs: moment}),
	};
}

function toEdited(result: NonNullable<Answer['edited']>[number]): EditResult | 'missing' {
	return typeof result === 'string' ? result : (STATUS_OF[result] as EditResult);
}

/** The items of a call of the function `commit`, besides those of executions that ended: ended-items.ts. */

import {type JobUpdate, type Lease, MAX_LOG_LINES} from '../../job/claim.ts';
import {type EnqueuedGroup, listKeys, type NewGroup, sizeOf, toEnqueuedGroup, toIds} from '../../job/groups/group.ts';
import {isList, type Values} from '../../job/groups/packed.ts';
import type {JobEdit, JobId} from '../../job/job.ts';
import type {Parents} from '../../job/parents.ts';
import {defined} from '../../support/defined.ts';
import type {ClaimRequest} from '../store.ts';
import {type CallValues, storable} from './connection/call-values.ts';
import type {DecidedChange, EditItem, NewItem, UpdateItem} from './connection/calls.ts';
import type {ClaimedFrom} from './connection/claimed-from.ts';
import type {Basis} from './facts.ts';
import type {Numbers} from './number-tables.ts';

/** Of PostgreSQL's type integer. */
const MAX_INTEGER = 2 ** 31 - 1;

/** Makes the items of one call. */
export class CallEncoder {
	readonly values: CallValues;
	readonly random: () => number;
	/** By what the end of an execution is decided, if this is known. */
	readonly basis: (lease: Lease, execution: number, id: JobId) => Basis | undefined;
	readonly #numbers: Numbers;

	constructor(values: CallValues, numbers: Numbers, random: () => number, basis: CallEncoder['basis']) {
		this.values = values;
		this.random = random;
		this.basis = basis;
		this.#numbers = numbers;
	}

	newGroup({task, scope, policy, values: all, keys, parents, batch, unique, run, expiresMs, maxPending, fingerprints, outdated, ...group}: NewGroup): NewItem {
		const count = sizeOf({values: all});
		// Consecutive numbers are known only within a batch.
		const isNumbered = typeof keys === 'number' && batch !== undefined && !unique;
		return {
			task: this.#numbers.taskId(task),
			policy: this.#numbers.policyId(policy),
			priority: group.priority,
			count,
			...this.#valuesOf(all),
			...defined({outdated, fingerprints: fingerprints && {count, ...this.#valuesOf(fingerprints)}}),
			...defined({scope, batch, run, unique, rerun: group.rerun, delay: group.delayMs, at: group.runAt, expires: expiresMs, max: maxPending}),
			...defined({number: isNumbered ? keys : undefined, keys: keys === undefined || isNumbered ? undefined : listKeys(keys, count)}),
			...(parents && {parents: toParents(parents)}),
		};
	}

	/** Where the values are: an element each, or one with a line each. */
	#valuesOf(values: Values): Pick<NewItem, 'packed' | 'values'> {
		const isEach = isList(values);
		return {packed: !isEach, values: isEach ? this.values.add(...values) : this.values.add(values.text)};
	}

	update({id, lease, execution, startedAt, progress, logs, checkpoint}: JobUpdate): UpdateItem {
		const state = checkpoint && {at: checkpoint.at, values: this.values.add(checkpoint.state)};
		const kept = logs?.slice(-MAX_LOG_LINES).map(line => ({...line, text: storable(line.text)}));
		return {id, lease, execution, ...defined({startedAt, progress, logs: kept}), ...state};
	}

	edit({id, payload, priority, runAt, delayMs}: JobEdit): EditItem {
		// Without a value an item has no field. A time of `null` means at once.
		return {id, priority, at: runAt, delay: delayMs, values: payload === undefined ? undefined : this.values.add(payload)};
	}

	schedule(change: DecidedChange): object {
		if (change.type !== 'set') return change;
		const {spec, ...rest} = change;
		const {payload, ...own} = spec;
		const {task, scope, policy} = spec;
		return {...rest, spec: own, task: this.#numbers.taskId(task), scope, policy: this.#numbers.policyId(policy), values: this.values.add(payload)};
	}

	claim({owner, lanes: all, scopes = [], limit, maxBytes}: ClaimRequest, claimedFrom: ClaimedFrom): object {
		const lanes = [undefined, ...scopes].flatMap(scope =>
			all.map(({task, limit, isQuarantined = false}) => ({
				...{name: task, limit: Math.min(limit, MAX_INTEGER), quarantined: isQuarantined},
				...defined({scope}),
			})),
		);
		const limited = all.flatMap(({task, concurrency}) => (concurrency === undefined ? [] : [[task, concurrency]]));
		return {
			...(limited.length > 0 && {limited: Object.fromEntries(limited)}),
			...defined({from: claimedFrom.places}),
			...{owner, limit: Math.min(limit, MAX_INTEGER), maxBytes: Number.isFinite(maxBytes) ? maxBytes : null, lanes},
		};
	}
}

/** Lists of parents as ranges. */
function toParents({edges, ...parents}: Parents): NewItem['parents'] & object {
	return {
		...parents,
		edges: edges.flatMap(({kind, parents: own, start = 0}) => {
			if (!('ids' in own)) return [{kind, start, ...own}];
			if (typeof own.ids === 'number') return [{kind, start, first: own.ids, count: own.count}];
			return own.ids.map((first, index) => ({kind, start: start + index, first, count: 1}));
		}),
	};
}

/** A group in the answer of a call. */
export function toEnqueued({ids, reused = [], conflicts = [], left = [], named = [], ...others}: EnqueuedGroup): EnqueuedGroup {
	if (others.full || others.missing !== undefined) return {ids: [], ...others};
	return toEnqueuedGroup(typeof ids === 'number' ? ids : toIds(ids), {reused, conflicts, left, named});
}

import {bad, checkIterable, show} from '../job/checks.ts';
import type {Encoded} from '../job/encoding.ts';
import {type EnqueuedGroup, idAt, MAX_GROUP_JOBS} from '../job/group.ts';
import type {JobId} from '../job/job.ts';
import type {JobMaker} from '../job/new-job.ts';
import {checkKey} from '../job/options.ts';
import {pack} from '../job/packed.ts';
import type {JobOptions} from '../job/task.ts';
import {keyConflict} from '../store/store.ts';
import type {DispatcherClient} from '../transport/client.ts';

export interface EnqueueManyOptions<Payload> extends Omit<JobOptions, 'key'> {
	/** The key of each job. */
	readonly key?: (payload: Payload) => string;
}

export interface EnqueuedMany {
	/** In the order of the payloads. */
	readonly ids: JobId[];
	/** Those of them whose key existed: they are existing jobs. */
	readonly reused: JobId[];
}

/** A group is full at about this size, so that few large payloads are under way. */
const MAX_GROUP_BYTES = 8 * 1024 ** 2;
/** Groups of one `enqueueMany` that may be under way. With a fourth, the p99 of the caller's loop delay rises from 3 to 5 ms. */
const MAX_GROUPS_UNDER_WAY = 3;

/** Encodes the payloads and sends them in groups. Only a bounded number of groups is under way at a time. */
export async function enqueueMany<Payload>(
	client: DispatcherClient,
	maker: JobMaker,
	task: string,
	payloads: Iterable<Payload> | AsyncIterable<Payload>,
	options: EnqueueManyOptions<Payload>,
): Promise<EnqueuedMany> {
	checkIterable('enqueueMany()', payloads);
	if (typeof options !== 'object' || options === null) throw bad(`enqueueMany() expects an object of options; it got ${show(options)}`);
	const {key: toKey, ...rest} = options;
	if (toKey !== undefined && typeof toKey !== 'function') throw bad('enqueueMany() expects as key a function of the payload');
	const {key: _, ...resolved} = maker.resolve('enqueueMany()', task, rest);
	const keyOf = toKey && ((payload: Payload) => checkKey('enqueueMany()', toKey(payload)));
	const result: EnqueuedMany = {ids: [], reused: []};
	const underWay: Promise<void>[] = [];
	let jobs = 0;
	try {
		for await (const {values, keys} of groupsOf(payloads, payload => maker.encode(payload), keyOf)) {
			const start = jobs;
			jobs += values.length;
			const sent = client.call({type: 'enqueue', group: {...resolved, task, values: pack(values), keys}, watch: false}).then(reply => {
				const {ids, reused = [], conflicts: [conflict] = []} = reply as EnqueuedGroup;
				if (conflict !== undefined) throw keyConflict({task, key: keys?.[conflict] ?? ''}, idAt(ids, conflict));
				for (let index = 0; index < values.length; index++) result.ids[start + index] = idAt(ids, index);
				for (const index of reused) result.reused.push(idAt(ids, index));
			});
			// It is awaited below. Without this, its rejection would be unhandled if an earlier group fails first.
			sent.catch(() => undefined);
			underWay.push(sent);
			if (underWay.length >= MAX_GROUPS_UNDER_WAY) await underWay.shift();
		}
		await Promise.all(underWay);
		return result;
	} finally {
		// After a failure, too, no group is under way any more when the caller hears of it.
		await Promise.allSettled(underWay);
	}
}

async function* groupsOf<Payload>(
	payloads: Iterable<Payload> | AsyncIterable<Payload>,
	encode: (payload: Payload) => Encoded,
	keyOf: ((payload: Payload) => string) | undefined,
): AsyncGenerator<{readonly values: Encoded[]; readonly keys: string[] | undefined}> {
	const emptyGroup = () => ({values: [] as Encoded[], keys: keyOf && ([] as string[])});
	let group = emptyGroup();
	let size = 0;
	/** Returns true if the group is full. */
	const add = (payload: Payload) => {
		const encoded = encode(payload);
		size += encoded?.length ?? 0;
		if (keyOf) group.keys?.push(keyOf(payload));
		return group.values.push(encoded) >= MAX_GROUP_JOBS || size >= MAX_GROUP_BYTES;
	};
	const takeGroup = () => {
		const full = group;
		[group, size] = [emptyGroup(), 0];
		return full;
	};
	// A synchronous iterable is read without a promise for each payload: that alone would cost more than storing it.
	if (Symbol.iterator in payloads) {
		for (const payload of payloads) if (add(payload)) yield takeGroup();
	} else {
		for await (const payload of payloads) if (add(payload)) yield takeGroup();
	}
	if (group.values.length > 0) yield group;
}

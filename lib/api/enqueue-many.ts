import {bad, checkIterable, show} from '../job/checks.ts';
import type {Encoded} from '../job/encoding.ts';
import {idAt, MAX_GROUP_JOBS} from '../job/groups/group.ts';
import {pack} from '../job/groups/packed.ts';
import type {JobId} from '../job/job.ts';
import {type JobMaker, lowestOf} from '../job/new-job.ts';
import {checkKey} from '../job/options.ts';
import type {JobOptions} from '../job/task.ts';
import {keyConflict, noParent, queueFull} from '../store/conflict-errors.ts';
import type {DispatcherClient} from '../transport/client.ts';
import type {EnqueueReply} from '../transport/messages.ts';

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
	const {key: toKey, ...rest} = checkManyOptions(options);
	// Unique is refused without a key. The true keys come with the payloads.
	const {key: _, ...resolved} = maker.resolve('enqueueMany()', task, toKey ? {...rest, key: 'of each'} : rest);
	const maxPending = maker.limitsOf(task);
	// Several groups have room at the same time, so that the queue does not run dry between them.
	const maxJobs = Math.min(MAX_GROUP_JOBS, Math.ceil(lowestOf(maxPending) / 4));
	const result: EnqueuedMany = {ids: [], reused: []};
	const underWay: Promise<void>[] = [];
	let start = 0;
	let values: Encoded[] = [];
	let keys: string[] = [];
	let size = 0;
	/** Returns true if the group is full. */
	const add = (payload: Payload) => {
		const encoded = maker.encode(payload);
		size += encoded?.length ?? 0;
		if (toKey) keys.push(checkKey('enqueueMany()', toKey(payload)));
		return values.push(encoded) >= maxJobs || size >= MAX_GROUP_BYTES;
	};
	const enqueue = async () => {
		const group = {start, keys, count: values.length};
		const sent = {...resolved, task, values: pack(values), keys: toKey && pack(keys), maxPending};
		const call = client.call({type: 'enqueue', group: sent, watch: false, waits: maxPending !== undefined, givesPayloads: true});
		[start, values, keys, size] = [start + values.length, [], [], 0];
		const {ids, full, missing, reused = [], conflicts: [conflict] = []} = (await call) as EnqueueReply;
		if (full) throw queueFull(task, full, full.retryAfterMs);
		if (missing !== undefined) throw noParent(task, missing);
		if (conflict !== undefined) throw keyConflict({task, key: group.keys[conflict] ?? ''}, idAt(ids, conflict));
		for (let index = 0; index < group.count; index++) result.ids[group.start + index] = idAt(ids, index);
		for (const index of reused) result.reused.push(idAt(ids, index));
	};
	const send = async () => {
		const sent = enqueue();
		// It is awaited below. Without this, its rejection would be unhandled if an earlier group fails first.
		sent.catch(() => undefined);
		underWay.push(sent);
		if (underWay.length >= MAX_GROUPS_UNDER_WAY) await underWay.shift();
	};
	try {
		// A synchronous iterable is read without a promise for each payload: that alone would cost more than storing it.
		if (Symbol.iterator in payloads) {
			for (const payload of payloads) if (add(payload)) await send();
		} else {
			for await (const payload of payloads) if (add(payload)) await send();
		}
		if (values.length > 0) await send();
		await Promise.all(underWay);
		return result;
	} finally {
		// After a failure, too, no group is under way any more when the caller hears of it.
		await Promise.allSettled(underWay);
	}
}

function checkManyOptions<Options extends EnqueueManyOptions<never>>(options: Options): Options {
	if (typeof options !== 'object' || options === null) throw bad(`enqueueMany() expects an object of options; it got ${show(options)}`);
	if (options.key !== undefined && typeof options.key !== 'function')
		throw bad(`enqueueMany() expects as key a function of the payload; it got ${show(options.key)}`);
	return options;
}

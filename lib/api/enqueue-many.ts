import {bad, checkIterable, type Duration, show} from '../job/checks.ts';
import type {Encoded} from '../job/encoding.ts';
import {idAt, MAX_GROUP_JOBS, type NewGroup} from '../job/groups/group.ts';
import {pack} from '../job/groups/packed.ts';
import {MANY_BYTES, MAX_GROUPS_UNDER_WAY, Portion} from '../job/groups/portion.ts';
import type {JobId} from '../job/job.ts';
import {type JobBuilder, lowestOf} from '../job/new-job.ts';
import {checkKey} from '../job/options.ts';
import type {JobOptions} from '../job/task/task.ts';
import {keyConflict, noParent, queueFull} from '../store/conflict-errors.ts';
import {FaenaError} from '../support/errors.ts';
import type {DispatcherClient} from '../transport/client.ts';
import type {EnqueueReply} from '../transport/messages.ts';
import {checkCallWait, within} from './wait.ts';

/** Options of all jobs of one `enqueueMany()`. `signal` and `waitTimeout` end it: it reads and enqueues nothing more. Jobs that it has enqueued stay.
 * @example const options: EnqueueManyOptions<string> = {key: file => file, maxAttempts: 5}; */
export interface EnqueueManyOptions<Payload> extends Omit<JobOptions, 'key'> {
	/** When it aborts, `enqueueMany()` rejects with the signal's reason. */
	readonly signal?: AbortSignal;
	/** After this time `enqueueMany()` rejects with `WaitTimeout`; default: none. `timeout` is that of the jobs. */
	readonly waitTimeout?: Duration;
	/** The key of each job. */
	readonly key?: (payload: Payload) => string;
}

/** The jobs of an `enqueueMany()`. */
interface EnqueuedMany {
	/** In the order of the payloads. */
	readonly ids: JobId[];
	/** Those of them whose key existed: they are existing jobs. */
	readonly reused: JobId[];
}

/** Encodes the payloads and sends them in groups. Only a bounded number of groups is under way at a time. */
export async function enqueueMany<Payload>(
	client: DispatcherClient,
	builder: JobBuilder,
	task: string,
	payloads: Iterable<Payload> | AsyncIterable<Payload>,
	options: EnqueueManyOptions<Payload>,
): Promise<EnqueuedMany> {
	checkIterable('enqueueMany()', payloads);
	const {signal, waitTimeout, ...jobOptions} = checkManyOptions(options);
	const wait = checkCallWait('enqueueMany()', {signal, waitTimeout});
	const groups = new Groups(client, builder, task, jobOptions);
	try {
		return await within(wait, sendAll(groups, payloads), seconds => `enqueueMany() had not ended after ${seconds} s.`);
	} finally {
		// After a failure, too, no group is under way any more when the caller hears of it.
		await groups.stop();
	}
}

async function sendAll<Payload>(groups: Groups<Payload>, payloads: Iterable<Payload> | AsyncIterable<Payload>): Promise<EnqueuedMany> {
	// A synchronous iterable is read without a promise for each payload: that alone would cost more than storing it.
	if (Symbol.iterator in payloads) {
		for (const payload of payloads) if (groups.add(payload)) await groups.send();
	} else {
		for await (const payload of payloads) if (groups.add(payload)) await groups.send();
	}
	return groups.end();
}

let lastNumber = 0;

/** The groups of one `enqueueMany`: the one that is gathered, and those under way. */
class Groups<Payload> {
	readonly #client: DispatcherClient;
	readonly #builder: JobBuilder;
	readonly #toKey: ((payload: Payload) => string) | undefined;
	/** What all groups have. */
	readonly #common: Omit<NewGroup, 'values' | 'keys'>;
	readonly #portion: Portion;
	#values: Encoded[] = [];
	#keys: string[] = [];
	/** The number of payloads in groups that were sent. */
	#sent = 0;
	readonly #underWay: Promise<void>[] = [];
	/** Of the calls that wait for room. */
	readonly #number = ++lastNumber;
	#isStopped = false;
	readonly #result: EnqueuedMany = {ids: [], reused: []};

	constructor(
		client: DispatcherClient,
		builder: JobBuilder,
		task: string,
		{key: toKey, ...options}: Omit<EnqueueManyOptions<Payload>, 'signal' | 'waitTimeout'>,
	) {
		this.#client = client;
		this.#builder = builder;
		this.#toKey = toKey;
		// Unique is refused without a key. The true keys come with the payloads.
		const {key: _, ...resolved} = builder.resolve('enqueueMany()', task, toKey ? {...options, key: 'of each'} : options);
		this.#common = {...resolved, task, maxPending: builder.limitsOf(task)};
		// Several groups have room at the same time, so that the queue does not run dry between them.
		this.#portion = new Portion({jobs: Math.min(MAX_GROUP_JOBS, Math.ceil(lowestOf(this.#common.maxPending) / 4)), bytes: MANY_BYTES});
	}

	/** Returns true if the group is full. @throws FaenaError `Closed` after {@link stop}, so that the loop over the input ends */
	add(payload: Payload): boolean {
		if (this.#isStopped) throw new FaenaError('Closed', 'This enqueueMany() has ended.');
		const encoded = this.#builder.encode(payload, this.#common.task, this.#sent + this.#values.length);
		if (this.#toKey) this.#keys.push(checkKey('enqueueMany()', this.#toKey(payload)));
		this.#values.push(encoded);
		return this.#portion.add(encoded);
	}

	/** Sends what was gathered. Resolves once another group may be sent. */
	async send(): Promise<void> {
		const sent = this.#enqueue();
		// It is awaited below. Without this, its rejection would be unhandled if an earlier group fails first.
		sent.catch(() => undefined);
		this.#underWay.push(sent);
		if (this.#underWay.length >= MAX_GROUPS_UNDER_WAY) await this.#underWay.shift();
	}

	async #enqueue(): Promise<void> {
		const {task, maxPending} = this.#common;
		const [start, keys, count] = [this.#sent, this.#keys, this.#values.length];
		const group = {...this.#common, values: pack(this.#values), keys: this.#toKey && pack(keys)};
		const call = this.#client.call({type: 'enqueue', group, watch: false, waits: maxPending && this.#number, givesPayloads: true});
		[this.#sent, this.#values, this.#keys] = [start + count, [], []];
		this.#portion.clear();
		const {ids, full, missing, reused = [], conflicts: [conflict] = []} = (await call) as EnqueueReply;
		if (full) throw queueFull(task, full, full.retryAfterMs);
		if (missing !== undefined) throw noParent(task, missing);
		if (conflict !== undefined) throw keyConflict({task, key: keys[conflict] ?? ''}, idAt(ids, conflict));
		for (let index = 0; index < count; index++) this.#result.ids[start + index] = idAt(ids, index);
		for (const index of reused) this.#result.reused.push(idAt(ids, index));
	}

	/** Sends the rest. Resolves once all groups are stored. */
	async end(): Promise<EnqueuedMany> {
		if (this.#values.length > 0) await this.send();
		await Promise.all(this.#underWay);
		return this.#result;
	}

	/** Sends nothing more. Resolves once no group is under way. */
	async stop(): Promise<void> {
		this.#isStopped = true;
		// If this call fails, the engine is closed, and nothing waits.
		if (this.#underWay.length > 0 && this.#common.maxPending) await this.#client.call({type: 'stopWaiting', waits: this.#number}).catch(() => undefined);
		await Promise.allSettled(this.#underWay);
	}
}

function checkManyOptions<Options extends EnqueueManyOptions<never>>(options: Options): Options {
	if (typeof options !== 'object' || options === null) throw bad(`enqueueMany() expects an object of options; it got ${show(options)}`);
	if (options.key !== undefined && typeof options.key !== 'function')
		throw bad(`enqueueMany() expects as key a function of the payload; it got ${show(options.key)}`);
	return options;
}

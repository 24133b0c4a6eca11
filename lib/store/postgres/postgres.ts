import type {BatchId, BatchOptions} from '../../job/batch.ts';
import type {OwnerId} from '../../job/claim.ts';
import type {JobId} from '../../job/job.ts';
import type {Schedule} from '../../job/schedule.ts';
import {type JobFilter, type JobSearch, type MoveTarget, movableStatuses, type Page} from '../../job/search.ts';
import {systemClock} from '../../support/clock.ts';
import {FaenaError} from '../../support/errors.ts';
import {openedReadOnly, ownerInUse} from '../conflict-errors.ts';
import type {Deleted, Deletion} from '../deletions.ts';
import type {JobPage, KeyHolders, KeySpace, OutcomePage, SearchPage, Wanted} from '../found-jobs.ts';
import {HOST, ownerFilesAt} from '../owners/owner-files.ts';
import {Owners} from '../owners/owners.ts';
import {DEFAULT_SCHEMA, locationOf, shownUrl} from '../postgres-url.ts';
import type * as contract from '../store.ts';
import type {OpenStoreOptions} from '../store-options.ts';
import {type CountRow, toTaskCounts} from '../stored-state.ts';
import {assertDeleted, assertOpened, findToDelete, readBatches, toOpening} from './batches.ts';
import {type CommitContext, commit} from './commit.ts';
import type {Calls, Effects} from './connection/calls.ts';
import {ClaimedFrom} from './connection/claimed-from.ts';
import {urlOfPool} from './connection/connections.ts';
import {Database} from './connection/database.ts';
import {deleteEnded} from './delete.ts';
import {KnownFacts} from './facts.ts';
import {readHolders, readOutcomes, readPage, statesOf, toFilter} from './jobs.ts';
import {NewsOf} from './news.ts';
import {NumberTables} from './number-tables.ts';
import {readSchedules} from './schedules.ts';

/** How long a call waits before it is looked for by a new connection, and how long that may take: a quarter of a lease, within these bounds. */
const MIN_ANSWER_MS = 3000;
const MAX_ANSWER_MS = 10_000;

/** Options with which a PostgreSQL store is opened. */
export interface PostgresOptions extends OpenStoreOptions {
	/** The schema of the queue; default `faena`. */
	readonly schema?: string;
}

/** A store in a schema of a PostgreSQL database. Each verb is a call of a function of the schema, in a transaction of its own: functions/*.sql. */
export class PostgresStore implements contract.Store {
	readonly location: string;
	/** Private, since it has the password: what is logged shows public fields. */
	readonly #threadLocation: string | undefined;
	readonly leaseMs: number;
	readonly #db: Database;
	readonly #names: NumberTables;
	readonly #owners: Owners;
	readonly #news: NewsOf;
	readonly #context: Omit<CommitContext, 'hasNothingArrived' | 'tellsItself'>;
	readonly #isReadOnly: boolean;
	readonly #number = Math.floor(Math.random() * 2 ** 31);
	/** False for tests with a clock of their own, which they let jump. */
	readonly #hasServerTime: boolean;
	#closed: Promise<void> | undefined;

	constructor(
		url: string,
		{leaseMs = 30_000, clock = systemClock, random = Math.random, schema = DEFAULT_SCHEMA, durability = 'full', readOnly = false, pool}: PostgresOptions = {},
	) {
		this.location = shownUrl(url) + (schema === DEFAULT_SCHEMA ? '' : `?schema=${schema}`);
		const own = pool ? urlOfPool(pool) : url;
		this.#threadLocation = own && locationOf(own, schema);
		this.leaseMs = leaseMs;
		const maxAnswerMs = Math.min(MAX_ANSWER_MS, Math.max(MIN_ANSWER_MS, leaseMs / 4));
		// Another clock than the system's is one for tests. Time is that of the server, since the hosts may not agree.
		const now = clock === systemClock ? undefined : clock.now;
		this.#db = new Database(url, schema, {store: this.#number, host: HOST, relaxed: durability === 'normal', now}, {pool, isReadOnly: readOnly, maxAnswerMs});
		this.#isReadOnly = readOnly;
		this.#hasServerTime = clock === systemClock;
		this.#names = new NumberTables(this.#db);
		this.#owners = new Owners(() => (this.#db.place === undefined ? undefined : ownerFilesAt(this.#db.place)), leaseMs, clock.steadyMs);
		this.#news = new NewsOf(this.#db, clock);
		this.#context = {db: this.#db, names: this.#names, claimedFrom: new ClaimedFrom(this.#hasServerTime), facts: new KnownFacts(), random};
	}

	get threadLocation(): string | undefined {
		return this.#threadLocation;
	}

	get schemaVersion(): number {
		return this.#db.version;
	}

	now(): number {
		return this.#db.clock.now();
	}

	async commit(changes: contract.Changes): Promise<contract.Committed> {
		this.#assertWritable();
		return changes.claim ? this.#registering(changes.claim.owner, () => this.#commit(changes)) : this.#commit(changes);
	}

	async #commit(changes: contract.Changes): Promise<contract.Committed> {
		const hasNothingArrived = this.#news.hasNothingArrived();
		const tellsItself = changes.claim === undefined && (changes.enqueue?.length ?? 0) > 0 && this.#news.tellsItself;
		const {committed, answer} = await commit({...this.#context, hasNothingArrived, tellsItself}, changes).catch(error => {
			if (!hasNothingArrived) this.#news.mayHaveArrived();
			throw error;
		});
		if (changes.claim && answer.owner !== null) this.#owners.registered(changes.claim.owner, answer.owner);
		if (answer.moreArrived) this.#news.mayHaveArrived();
		this.#news.tell(answer);
		if (hasWrites(changes)) this.#news.changed(answer.told === true);
		return committed;
	}

	async move(filter: JobFilter, to: MoveTarget, page: contract.MovePage = {}): Promise<contract.Moved> {
		const {after = 0, upTo, limit = 1000, stop = false, isHeld = false, owner} = page;
		this.#assertWritable();
		const states = statesOf(movableStatuses(to, filter));
		if (after === 0) await this.#takeOver();
		const moved = await this.#change('move', {filter: {...toFilter(filter), owner}, states, to, after, upTo, limit, stop, isHeld});
		this.#news.asked(moved.asked.length);
		const {ids, asked, next} = moved;
		return {ids, asked, next: next === null ? null : {...page, after: next, upTo: moved.upTo, limit}};
	}

	async setPaused(tasks: readonly string[], isPaused: boolean): Promise<void> {
		this.#assertWritable();
		await this.#names.number(tasks.map(task => ({task})));
		await this.#db.call('set_paused', {tasks, paused: isPaused}, true);
		this.#news.changed();
	}

	async adopt(from: string, to: string): Promise<boolean> {
		this.#assertWritable();
		const isKnown = await this.#db.call('adopt', {from, to}, true);
		this.#names.forgetScopes();
		this.#news.changed();
		return isKnown;
	}

	async heartbeat(owner: OwnerId): Promise<'alive' | 'fenced'> {
		this.#assertWritable();
		return this.#owners.heartbeat(owner, id => this.#db.call('heartbeat', {owner, id}, true));
	}

	async release(owner: OwnerId, {after = 0, leave = false}: contract.ReleaseOptions = {}): Promise<contract.Released> {
		this.#assertWritable();
		if (leave) return this.#release(owner, after, leave);
		return this.#registering(owner, () => this.#release(owner, after, leave));
	}

	#release(owner: OwnerId, after: number, leave: boolean): Promise<contract.Released> {
		const call = () => this.#tellOf(this.#db.call('release', {owner, after, leave}));
		return this.#owners.release(owner, leave, async () => {
			// A second call, which has a number of its own, makes the first one void if that arrives later.
			const released = await call().catch(error => {
				if (!(error instanceof FaenaError) || error.code !== 'OutcomeUnknown') throw error;
				return call();
			});
			// Nothing is left to do for a release that a later one has overtaken.
			const {jobs, hasMore, owner: id} = released ?? {jobs: 0, hasMore: false, owner: null};
			if (!leave && id !== null) this.#owners.registered(owner, id);
			return {jobs, hasMore};
		});
	}

	async reclaim(): Promise<contract.Released> {
		this.#assertOpen();
		if (this.#isReadOnly) return {jobs: 0, hasMore: false};
		const looked = await this.#db.call('look_at_owners', {...(this.#hasServerTime && {lease: this.leaseMs})});
		this.#news.tell(looked);
		const owners = looked.owners.map(({host, ...owner}) => ({...owner, isLocal: host === HOST}));
		return this.#owners.reclaim(owners, ({id, heartbeatAt}, open) => this.#change('reclaim', {owner: id, heartbeatAt, open}));
	}

	async jobs(search: JobSearch, page: SearchPage = {}, want: Wanted = {}): Promise<JobPage> {
		this.#assertOpen();
		if (page.after === undefined) await this.#takeOver();
		return readPage({db: this.#db, names: this.#names}, search, page, want);
	}

	async outcomes(ids: readonly JobId[], {after = 0}: {readonly after?: number} = {}): Promise<OutcomePage> {
		this.#assertOpen();
		return readOutcomes(this.#db, ids, after);
	}

	async holders({task, batch}: KeySpace, keys: readonly string[]): Promise<KeyHolders> {
		this.#assertOpen();
		if (batch === undefined) await this.#takeOver();
		return readHolders(this.#db, {task, batch, keys});
	}

	async counts(): Promise<readonly contract.TaskCounts[]> {
		this.#assertOpen();
		await this.#takeOver();
		return toTaskCounts(await this.#db.query<CountRow>('select * from @@.counts()'));
	}

	async schedules(): Promise<readonly Schedule[]> {
		this.#assertOpen();
		return readSchedules(this.#db);
	}

	async openBatch(name: string, task: string | undefined, owner: OwnerId, options: BatchOptions = {}): Promise<BatchId> {
		this.#assertWritable();
		const opening = await this.#registering(owner, async () => this.#change('open_batch', await toOpening(this.#names, name, task, owner, options), true));
		assertOpened(name, opening, task, options);
		this.#owners.registered(owner, opening.owner as number);
		return opening.id as BatchId;
	}

	async updateBatch(batch: BatchId, owner: OwnerId, change: contract.BatchChange): Promise<boolean> {
		const closes = 'isClosed' in change;
		const own = 'total' in change ? change : {closes, isDone: closes || change.isDone === true};
		const {done, owner: id} = await this.#registering(owner, () => this.#change('change_batch', {batch, owner, ...own}, true));
		if (id !== undefined) this.#owners.registered(owner, id);
		return done;
	}

	async batches({name}: {readonly name?: string} = {}, page: Page = {}): Promise<contract.BatchPage> {
		this.#assertOpen();
		return readBatches(this.#db, name, page);
	}

	async delete(what: Deletion, page: SearchPage = {}): Promise<Deleted> {
		this.#assertOpen();
		if (!('batch' in what)) return deleteEnded((name, call) => this.#change(name, call), this.#names, what, page);
		const found = await findToDelete(this.#db, what);
		if (!found) return {deleted: 0, next: null};
		const {deleted, next} = assertDeleted(what.batch, await this.#change('delete_batch', {...found, limit: page.limit ?? 1000}));
		return {deleted, next};
	}

	listen(owner: OwnerId | undefined, tell: (news: contract.News) => void | Promise<void>): () => void {
		this.#assertOpen();
		return this.#news.add(owner, tell);
	}

	ownerFiles(owner: OwnerId): contract.OwnerFiles {
		this.#owners.hold(owner);
		return this.#owners.filesOf(owner);
	}

	/** Takes over all jobs that programs have committed by now: of those, a call that reads or selects jobs takes only the first page. */
	async #takeOver(): Promise<void> {
		if (this.#isReadOnly) return;
		let upTo: JobId | null = null;
		do {
			const rows: readonly {readonly left: JobId | null}[] = await this.#db.query('select @@.look_at_arrived($1) as left', [upTo]);
			upTo = rows[0]?.left ?? null;
		} while (upTo !== null);
	}

	/** Makes a call that may register an owner, whose lock is taken first. */
	#registering<Result>(owner: OwnerId, call: () => Promise<Result>): Promise<Result> {
		const attempt = async () => {
			if (!this.#owners.has(owner)) {
				// A lock that is free shows that the other owner is dead.
				const others = await this.#db.query('select from @.owner where name = $1 and store <> $2 and heartbeat_at > 0', [owner, this.#number]);
				if (others.length > 0) throw ownerInUse(owner);
				// Nobody would drop the lock of a store that was closed meanwhile.
				this.#assertOpen();
				this.#owners.hold(owner);
			}
			return call();
		};
		return this.#owners.registering(owner, attempt, () => this.reclaim());
	}

	close(): Promise<void> {
		this.#closed ??= this.#close();
		return this.#closed;
	}

	async #close(): Promise<void> {
		this.#db.beginClose();
		try {
			await this.#owners.leave(owner => this.#release(owner, 0, true));
		} finally {
			this.#news.end();
			await this.#db.close();
		}
	}

	/** Calls a function that changes jobs, and tells the listeners what it did. */
	#change<Name extends keyof Calls>(name: Name, call: Calls[Name]['takes'], isRepeatable = false): Promise<Calls[Name]['answers']> {
		this.#assertWritable();
		return this.#tellOf(this.#db.call(name, call, isRepeatable));
	}

	async #tellOf<Result>(call: Promise<Result>): Promise<Result> {
		const result = await call;
		this.#news.tell((result ?? {}) as Effects);
		this.#news.changed();
		return result;
	}

	#assertWritable(): void {
		this.#assertOpen();
		if (this.#isReadOnly) throw openedReadOnly(this.location);
	}

	#assertOpen(): void {
		if (this.#closed) throw new FaenaError('Closed', 'This queue is closed.');
	}
}

/** True unless the transaction only claims, or does nothing. */
function hasWrites({update = [], settle = [], edit, enqueue = [], schedule}: contract.Changes): boolean {
	return update.length + settle.length + enqueue.length > 0 || edit !== undefined || schedule !== undefined;
}

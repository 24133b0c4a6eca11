import {copyFileSync, existsSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {env} from 'node:process';
import test from 'ava';
import type {Ending, Lease} from '../../lib/job/claim.ts';
import {type EndedGroup, idAt, listIds, numberAt, sizeOf} from '../../lib/job/groups/group.ts';
import {countOf} from '../../lib/job/groups/packed.ts';
import {settlementsOf} from '../../lib/job/groups/single-jobs.ts';
import type {JobId, JobRecord} from '../../lib/job/job.ts';
import {SORTED_BY} from '../../lib/job/search.ts';
import {openStore} from '../../lib/store/open-store.ts';
import type {ClaimRequest, Store} from '../../lib/store/store.ts';
import {tellSeed} from '../fixtures/again.ts';
import {override} from '../fixtures/override.ts';
import {groupNew} from '../fixtures/plain.ts';
import {drawn, SEED, seeded} from '../fixtures/random.ts';
import type {StoreOptions} from '../store/contract.ts';
import {delayed} from '../store/delayed-store.ts';
import {MemoryStore} from '../store/oracle.ts';
import {checkModel, type Subject, timeoutFor} from './store-model.ts';

/** The number of sequences of commands. */
const runs = Number(env['FAENA_RUNS'] ?? 45);

test('an SQLite store answers as the model does, through any sequence of commands and reopenings', async t => {
	t.timeout(timeoutFor(runs));
	tellSeed(t, {FAENA_RUNS: runs});
	await checkModel(sqlite, {seed: SEED, runs});
	t.pass();
});

test('an SQLite store in memory answers as the model does', async t => {
	await checkModel(options => ({open: () => openStore(':memory:', options)}), {seed: SEED, runs: Math.ceil(runs / 2), isDurable: false, knowsOpenJobs: false});
	t.pass();
});

/** The databases lie in memory if the system has such a folder. This test does not simulate a loss of power, and would mostly wait for the disk. */
const FOLDERS = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** With this threshold some results lie in files. */
const OPTIONS = {durability: 'normal', blobThresholdBytes: 12} as const;

/** A new database, which each sequence copies. */
const TEMPLATE = join(mkdtempSync(join(FOLDERS, 'faena-model-')), 'jobs.db');
await (await openStore(TEMPLATE, OPTIONS)).close();
test.after.always(() => rmSync(dirname(TEMPLATE), {recursive: true}));

function sqlite(options: StoreOptions): Subject {
	const folder = mkdtempSync(join(FOLDERS, 'faena-model-'));
	const path = join(folder, 'jobs.db');
	copyFileSync(TEMPLATE, path);
	return {
		open: () => openStore(path, {...options, ...OPTIONS}),
		dispose: () => rmSync(folder, {recursive: true}),
	};
}

/** Stores, each with one defect. The test's title names the defect. */
const DEFECTS: Readonly<Record<string, (options: StoreOptions) => Store>> = {
	'settles by any lease': broken(store => {
		const leases = new Map<JobId, Lease>();
		return {
			async commit({settle = [], ...changes}) {
				const committed = await store.commit({...changes, settle: settle.map(group => ({...group, lease: leases.get(idAt(group.ids, 0)) ?? group.lease}))});
				for (const {lease, ids, values} of committed.claimed.groups) for (const id of listIds(ids, countOf(values))) leases.set(id, lease);
				return committed;
			},
		};
	}),
	'settles by any execution number': broken(store => ({
		async commit({settle = [], ...changes}) {
			const ids = settle.flatMap(group => listIds(group.ids, sizeOf(group)));
			const {jobs} = await store.jobs({ids}, {limit: 100});
			const executionOf = new Map(jobs.map(({id, executions}) => [id, executions]));
			const executions = (group: EndedGroup) => listIds(group.ids, sizeOf(group)).map((id, index) => executionOf.get(id) ?? numberAt(group.executions, index));
			return store.commit({...changes, settle: settle.map(group => ({...group, executions: executions(group)}))});
		},
	})),
	'drops updates': broken(store => ({commit: ({update: _, ...changes}) => store.commit(changes)})),
	'forgets checkpoints': broken(store => ({
		commit: ({update = [], ...changes}) => store.commit({...changes, update: update.map(({checkpoint: _, ...each}) => each)}),
	})),
	'commits in spite of a conflict': broken(store => ({commit: changes => store.commit({...changes, rejectConflicts: false})})),
	'settles although a conflict follows': broken(store => ({
		async commit({settle = [], ...changes}) {
			const {settled} = await store.commit({settle});
			return {...(await store.commit(changes)), settled};
		},
	})),
	'enqueues the jobs of a job that did not complete': broken(store => ({
		async commit({settle = [], enqueue = [], ...changes}) {
			const outcomes = settle.flatMap(group => [...settlementsOf(group)].map(({outcome}) => outcome));
			const made = groupNew(outcomes.flatMap(outcome => (outcome.type === 'returned' ? (outcome.enqueue ?? []) : [])));
			const dropJobs = (ending: Ending) => (ending.type === 'returned' ? {type: ending.type} : ending);
			const withoutJobs = settle.map(group => ({...group, endings: new Map([...(group.endings ?? [])].map(([index, ending]) => [index, dropJobs(ending)]))}));
			const committed = await store.commit({...changes, settle: withoutJobs, enqueue: [...made, ...enqueue]});
			return {...committed, enqueued: committed.enqueued.slice(made.length)};
		},
	})),
	'settles only the first group': broken(store => ({
		async commit({settle = [], ...changes}) {
			const committed = await store.commit({...changes, settle: settle.slice(0, 1)});
			return {...committed, settled: [...committed.settled, ...settle.slice(1).map(() => ({others: new Map()}))]};
		},
	})),
	'claims more bytes than requested': broken(changingClaims(claim => ({...claim, maxBytes: Infinity}))),
	'claims jobs of any scope': broken(changingClaims(claim => ({...claim, scopes: ['app/tasks', 'app/tasks in /a', 'other']}))),
	'starts what no run has named': broken(store => ({
		async move(filter, to, page) {
			const moved = await store.move(filter, to, page);
			if (to === 'held') await store.move(filter, 'unheld', page);
			return moved;
		},
	})),
	'never claims quarantined jobs': broken(changingClaims(claim => ({...claim, lanes: claim.lanes.filter(({isQuarantined}) => !isQuarantined)}))),
	'ignores concurrency': broken(changingClaims(claim => ({...claim, lanes: claim.lanes.map(({concurrency: _, ...lane}) => lane)}))),
	'has room for any number of jobs': broken(store => ({
		commit: ({enqueue = [], ...changes}) => store.commit({...changes, enqueue: enqueue.map(({maxPending: _, ...group}) => group)}),
	})),
	'gives no key of an ended job away': broken(store => ({
		commit: ({enqueue = [], ...changes}) => store.commit({...changes, enqueue: enqueue.map(({unique: _, ...group}) => group)}),
	})),
	'edits running jobs': broken(store => ({
		async commit({edit, ...changes}) {
			const isRunning = new Set((await store.jobs({status: 'running'})).jobs.map(({id}) => id));
			const {edited, ...committed} = await store.commit({...changes, ...(edit && {edit})});
			return {...committed, ...(edited && {edited: edited.map((each, index) => (isRunning.has(edit?.[index]?.id ?? 0) ? 'edited' : each))})};
		},
	})),
	'forgets the time of an edit': broken(store => ({
		commit: ({edit, ...changes}) => store.commit({...changes, ...(edit && {edit: edit.map(({runAt: _, delayMs: __, ...each}) => each)})}),
	})),
	'lets no job expire': broken(store => ({
		commit: ({enqueue = [], ...changes}) => store.commit({...changes, enqueue: enqueue.map(({expiresMs: _, ...group}) => group)}),
	})),
	'reruns nothing': broken(store => ({
		commit: ({enqueue = [], ...changes}) => store.commit({...changes, enqueue: enqueue.map(({rerun: _, ...group}) => group)}),
	})),
	'delays jobs by a millisecond too much': broken(store => ({
		commit: ({enqueue = [], ...changes}) =>
			store.commit({...changes, enqueue: enqueue.map(({delayMs, ...group}) => ({...group, delayMs: delayMs === undefined ? undefined : delayMs + 1}))}),
	})),
	'retries completed jobs': broken(store => ({
		move: (filter, to, page) => store.move(to === 'pending' ? {status: ['failed', 'dead', 'cancelled', 'completed'], ...filter} : filter, to, page),
	})),
	'forgets to discard running jobs': broken(store => ({
		async move(filter, to, page) {
			if (to !== 'discarded') return store.move(filter, to, page);
			const asked = (await store.jobs({...filter, status: 'running'})).jobs.map(({id}) => id);
			return {...(await store.move({status: ['pending', 'failed'], ...filter}, to, page)), asked};
		},
	})),
	'moves jobs after the last id of its page': broken(store => ({
		move: (filter, to, page) => store.move(filter, to, {...page, upTo: Number.MAX_SAFE_INTEGER}),
	})),
	'begins pages of a move with the last job of the page before': broken(store => ({
		move: (filter, to, {after = 0, ...page} = {}) => store.move(filter, to, {...page, after: after - 1}),
	})),
	'ignores pausing': broken(() => ({setPaused: async () => undefined})),
	'tells no owner which jobs to stop': broken(store => ({
		listen: (owner, listener) => store.listen(owner, news => (news.type === 'changed' ? undefined : listener(news))),
	})),
	'tells no owner that it was taken for dead': broken(store => ({
		async heartbeat(owner) {
			await store.heartbeat(owner);
			return 'alive';
		},
	})),
	'suspects no job of an owner that died': options => new MemoryStore({...options, openJobs: () => []}),
	'takes owners for dead a millisecond early': options => new MemoryStore({...options, leaseMs: options.leaseMs - 1}),
	'does not jitter': options => new MemoryStore({...options, random: () => 0}),
	'cleans up open batches': broken(store => ({
		async openBatch(name, task, owner, options) {
			const batch = await store.openBatch(name, task, owner, options);
			await store.updateBatch(batch, owner, {isClosed: true});
			return batch;
		},
	})),
	'gives a batch to two owners': broken(store => ({
		async openBatch(name, task, owner, options) {
			const {batches} = await store.batches();
			for (const {id} of batches) for (const other of ['owner-1', 'owner-2']) await store.updateBatch(id, other, {isLeft: true});
			return store.openBatch(name, task, owner, options);
		},
	})),
	'completes a batch whose input has not ended': broken(store => ({
		async openBatch(name, task, owner, options) {
			const batch = await store.openBatch(name, task, owner, options);
			await store.updateBatch(batch, owner, {total: 0});
			return batch;
		},
	})),
	'counts no jobs of batches': broken(store => ({
		async batches(filter, page) {
			const {batches, next} = await store.batches(filter, page);
			const counts = {blocked: 0, pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0};
			return {batches: batches.map(batch => ({...batch, counts})), next};
		},
	})),
	'cleans up jobs that ended just now': broken(store => ({
		delete: (what, page) => store.delete('endedBefore' in what ? {endedBefore: what.endedBefore + 1} : what, page),
	})),
	'forgets the times of tasks': broken(store => ({
		delete: (what, page) => store.delete('ended' in what ? {ended: {...what.ended, tasks: new Map()}} : what, page),
	})),
	'begins pages with the last job of the page before': broken(store => ({
		jobs: (search, {after, ...page} = {}, want) => store.jobs(search, {...page, after: typeof after === 'number' ? after - 1 : after}, want),
	})),
	'sorts jobs with the same value by ascending ids': broken(store => ({
		async jobs(search, page, want) {
			const {jobs, ...rest} = await store.jobs(search, page, want);
			const value = (job: JobRecord) => (search.sort === undefined ? job.id : -(job[SORTED_BY[search.sort].value] ?? 0));
			return {...rest, jobs: jobs.toSorted((a, b) => value(a) - value(b) || a.id - b.id)};
		},
	})),
	'takes the end of a range of times into it': broken(store => ({
		jobs: (search, page, want) => store.jobs({...search, ...(search.until !== undefined && {until: Number(search.until) + 1})}, page, want),
	})),
};

function broken(verbs: (store: Store) => Partial<Store>): (options: StoreOptions) => Store {
	return options => override(new MemoryStore(options), verbs);
}

function changingClaims(change: (claim: ClaimRequest) => ClaimRequest): (store: Store) => Partial<Store> {
	return store => ({commit: ({claim, ...changes}) => store.commit({...changes, ...(claim && {claim: change(claim)})})});
}

for (const [defect, open] of drawn(Object.entries(DEFECTS), 10)) {
	test(`the model finds a store that ${defect}`, async t => {
		const check = checkModel(options => ({open: async () => open(options)}), {seed: SEED, runs: 5000, isDurable: false, endOnFailure: true});
		await t.throwsAsync(check, {message: /Counterexample/});
	});
}

test('a store whose answers come late and in another order answers as the model does', async t => {
	const makeSubject = (options: StoreOptions): Subject => ({open: async () => delayed(new MemoryStore(options), seeded(SEED))});
	await checkModel(makeSubject, {seed: SEED, runs: Math.ceil(runs / 2), isDurable: false});
	t.pass();
});

import {copyFileSync, cpSync, mkdtempSync, rmSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import Database from 'better-sqlite3';
import {type Engine, open} from '../../../lib/index.ts';
import type {Claim, Settlement} from '../../../lib/job/claim.ts';
import {decode, encode} from '../../../lib/job/encoding.ts';
import {toFailure} from '../../../lib/job/failure.ts';
import {MAX_SUSPICION, STATUSES} from '../../../lib/job/job.ts';
import type {NewJob} from '../../../lib/job/new-job.ts';
import type {Policy} from '../../../lib/job/policy.ts';
import {lanesOf} from '../../../lib/store/job-queue.ts';
import {FaenaError} from '../../../lib/support/errors.ts';
import {commitPlain} from '../../fixtures/plain.ts';
import {openQueueAt} from '../../fixtures/queue.ts';
import {between, pick, seeded} from '../../fixtures/random.ts';
import type {RawQueue} from '../../fixtures/raw-queue.ts';
import {tampered} from './mutations.ts';
import {MaintenanceResult, type Result, type Round, seedsOf} from './round.ts';

type Random = () => number;

/** Databases with jobs in every place and changed rows, each opened as a queue. */
export async function fuzzRows(round: Round): Promise<Result> {
	const findings = new MaintenanceResult();
	for await (const {path, seed, random, changes} of tamperedDatabases(round)) {
		await useQueue(path, random, guardOf(findings, `database ${seed} (${changes})`));
		rmSync(dirname(path), {recursive: true});
	}
	return findings;
}

/** The same, each to an engine; all at the same time, since one that rests because of a row is waited for. */
export async function fuzzEngines(round: Round): Promise<Result> {
	const findings = new MaintenanceResult();
	const engines: Promise<void>[] = [];
	for await (const {path, seed, changes} of tamperedDatabases(round)) engines.push(useEngine(path, guardOf(findings, `database ${seed} (${changes})`)));
	await Promise.all(engines);
	return findings;
}

/** Each in a folder of its own. */
export async function* tamperedDatabases(round: Round) {
	const strict = await makeTemplate(join(round.folder, 'strict.db'));
	const loose = loosened(strict, join(round.folder, 'loose.db'));
	for (const seed of seedsOf(round)) {
		const random = seeded(seed);
		const path = join(mkdtempSync(join(round.folder, 'tampered-')), 'jobs.db');
		copyFileSync(random() < 0.5 ? strict : loose, path);
		cpSync(`${strict}-blobs`, `${path}-blobs`, {recursive: true});
		yield {path, seed, random, changes: tampered(path, random)};
	}
}

/** Does something of which a FaenaError may come, and nothing else. */
type Watchdog = <Value>(step: string, run: () => Value | Promise<Value>) => Promise<Value | undefined>;

function guardOf(findings: MaintenanceResult, input: string): Watchdog {
	return async (step, run) => {
		try {
			const value = await run();
			findings.count('ok');
			return value;
		} catch (error) {
			if (error instanceof FaenaError && !['DispatcherFailed', 'Closed'].includes(error.code)) findings.count(error.code);
			else findings.complain(input, `${step} fails with ${error instanceof Error ? `${(error as {code?: string}).code} ${error.stack}` : String(error)}`);
			return undefined;
		}
	};
}

/** All the verbs, those that only read first. */
async function useQueue(path: string, random: Random, guard: Watchdog): Promise<void> {
	const queue = await guard('open', () => openQueueAt(path, OPTIONS));
	if (!queue) return;
	await readAll(queue, guard);
	await guard('reclaim', () => queue.reclaim());
	const claim = {owner: 'me', lanes: lanesOf(TASKS, 9), limit: 9, maxBytes: 1000};
	for (let turn = 0; turn < 3; turn++) {
		const {lease, jobs} = (await guard('claim', () => commitPlain(queue.store, {claim})))?.claimed ?? {lease: 0, jobs: []};
		for (const {payload, checkpoint} of jobs) await guard('decode', () => [decode(payload), decode(checkpoint ?? null)]);
		const claims = jobs.map(({id, execution}) => ({id, execution, lease}));
		await guard('update', () => queue.store.commit({update: claims.map(updateOf)}));
		await guard('settle', () => commitPlain(queue.store, {settle: claims.map(claim => settlementOf(claim, random))}));
		await guard('enqueue', () => queue.enqueue([newJob({key: 'k1', rerun: {changed: true, failed: true}}), newJob({task: 'new'})]));
	}
	await guard('heartbeat', () => queue.heartbeat('me'));
	await guard('listen', () => newsOf(queue));
	await guard('close batch', async () => [await queue.closeBatch(1, 'me'), await queue.leaveBatch(1, 'me')]);
	await guard('open batch', async () =>
		queue.endInput(await queue.openBatch('nightly', 'hash', 'me', {onComplete: {task: 'hash', priority: 0, policy: POLICY}}), 3, 'me'),
	);
	await guard('cancel', () => queue.cancel({}));
	await guard('retry', () => queue.retry({}));
	await guard('discard', () => queue.discard([1, 2, 3, 4, 5], {stop: true}));
	await guard('pause', async () => [await queue.pause(['hash']), await queue.resume(['hash'])]);
	await guard('leave', () => queue.leave('me'));
	await guard('cleanup', () => queue.store.delete({endedBefore: Date.now() + 1e9}));
	await guard('delete batch', () => queue.deleteBatch('nightly'));
	await readAll(queue, guard);
	await guard('close', () => queue.close());
}

/** Another connection writes; waits for what the store tells of that. */
async function newsOf(queue: RawQueue): Promise<void> {
	const heard = Promise.withResolvers<void>();
	// A listener does not keep the process alive.
	const awake = setInterval(() => undefined, 1000);
	const stop = queue.store.listen('me', news => (news.type === 'failed' ? heard.reject(news.error) : heard.resolve()));
	try {
		const other = await openQueueAt(queue.location, OPTIONS);
		await other.pause(['other']);
		await other.close();
		await heard.promise;
	} finally {
		stop();
		clearInterval(awake);
	}
}

async function readAll(queue: RawQueue, guard: Watchdog): Promise<void> {
	const jobs = (await guard('jobs', () => queue.jobs().page({limit: 50}))) ?? [];
	for (const {id} of jobs) {
		const values = await guard('values', () => queue.values(id));
		for (const value of [values?.payload, values?.result, values?.checkpoint?.state]) await guard('decode', () => decode(value ?? null));
		await guard('logs', () => queue.logs(id));
	}
	await guard('outcomes', async () => (await queue.outcomes(jobs.map(({id}) => id))).length);
	for (const status of STATUSES) await guard(`${status} jobs`, () => queue.jobs({status, task: 'hash', batch: 'nightly'}).page());
	await guard('counts', async () => [await queue.counts(), await queue.paused(), await queue.batches()]);
}

/** Within this an engine has run a job of its own, or told what keeps that from it; then it has two seconds more. */
const PATIENCE_MS = 20_000;

/** Looks at everything, and works: at least a job of its own, unless it tells which rows keep that from it. */
async function useEngine(path: string, guard: Watchdog): Promise<void> {
	const told = Promise.withResolvers<'told'>();
	const silent = () => undefined;
	const error = (_: object, message: string) => message.includes('refused') && told.resolve('told');
	const faena = await guard('open an engine', () =>
		open<typeof import('./tasks.ts')>({
			...{queue: path, tasks: new URL('./tasks.ts', import.meta.url), isolation: 'inline', workers: 1, durability: 'normal'},
			logger: {debug: silent, info: silent, warn: silent, error},
		}),
	);
	if (!faena) return;
	await guard('work', () => answerOf(faena, told.promise));
	for (const {id} of (await guard('jobs', () => faena.jobs().page())) ?? []) await guard('job', () => faena.job(id).info());
	await guard('batches', () => faena.batches());
	await guard('stats', () => faena.stats());
	await guard('close', () => faena.close({drain: 0}));
}

/** Fails if the engine neither answers in time nor tells why not, or answers wrongly. */
async function answerOf(faena: Engine<typeof import('./tasks.ts')>, told: Promise<'told'>): Promise<void> {
	const controller = new AbortController();
	const call = faena.call('echo', 'hello', {signal: controller.signal, priority: 1000});
	call.catch(() => undefined);
	const inTime = <Value>(promises: readonly Promise<Value>[]) => Promise.race([...promises, sleep(PATIENCE_MS, 'silent' as const, {ref: false})]);
	let answer = await inTime([call, told]);
	if (answer === 'told') answer = (await Promise.race([call, sleep(2000, 'told' as const)])) as typeof answer;
	controller.abort();
	if (answer !== 'hello' && answer !== 'told') throw new Error(`echo gives ${answer}`);
}

// The template

const TASKS = ['hash', 'resize', 'echo'];
const OPTIONS = {durability: 'normal', leaseMs: 60_000, blobThresholdBytes: 500} as const;
const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}, retry: 'auto'};

function newJob(job: Partial<NewJob> = {}): NewJob {
	return {task: 'hash', payload: '1', priority: 0, runAt: null, policy: POLICY, ...job};
}

function updateOf(claim: Claim) {
	const at = Date.now();
	return {...claim, startedAt: at, progress: {done: 1, total: 2, at}, logs: [{at, level: 'info' as const, text: 'line'}], checkpoint: {at, state: '5'}};
}

const FAILURE = {...toFailure(new Error('no luck', {cause: new Error('fate')}), 'lostWorker'), exitCode: 7};

function settlementOf(claim: Claim, random: Random): Settlement {
	const timing = {startedAt: 5, durationMs: 2.5, cpuMs: 2, memoryBytes: 1000};
	const outcome = pick<Settlement['outcome']>(random, [
		{...timing, type: 'returned', value: '5'},
		{...timing, type: 'returned', value: encode(new Map([[1, new Date()]]), 'result'), enqueue: [newJob()]},
		{...timing, type: 'returned', value: new Uint8Array(600).fill(1)},
		{...timing, type: 'threw', error: FAILURE},
		{...timing, type: 'lostWorker', error: FAILURE},
		{type: 'cancelled'},
		{type: 'released', suspicion: MAX_SUSPICION},
	]);
	return {...claim, outcome};
}

/** Jobs in every place, with all there can be to them. */
async function makeTemplate(path: string): Promise<string> {
	const random = seeded(1);
	const queue = await openQueueAt(path, OPTIONS);
	const batch = await queue.openBatch('nightly', 'hash', 'me', {onComplete: {task: 'hash', priority: 0, policy: POLICY}});
	const plans = Array.from({length: 40}, (_, index) =>
		newJob({
			task: pick(random, TASKS.slice(0, 2)),
			payload: pick(random, ['1', '{"a":[1,null]}', encode({at: new Date(5), bytes: new Uint8Array(9)}, 'payload'), null]),
			priority: between(random, -1, 2),
			policy: {...POLICY, retry: pick(random, ['auto', 'manual'])},
			...(index % 3 === 0 && {key: `k${index}`}),
			...(index % 2 === 0 && {batch}),
			...(index % 7 === 0 && {runAt: Date.now() + between(random, -1000, 1e9)}),
		}),
	);
	await queue.enqueue(plans);
	for (const owner of ['dead', 'gone', 'dead']) {
		const {lease, jobs} = await queue.dequeue({owner, tasks: TASKS, limit: 12});
		const claims = jobs.map(({id, execution}) => ({id, execution, lease}));
		await commitPlain(queue.store, {update: claims.map(updateOf), settle: claims.slice(0, 9).map(claim => settlementOf(claim, random))});
	}
	await queue.cancel({ids: [30, 31]});
	await queue.pause(['resize']);
	// As if its owners had been killed: what is in the log belongs to the file.
	const db = new Database(path);
	db.pragma('wal_checkpoint(truncate)');
	copyFileSync(path, `${path}-copy`);
	db.close();
	await queue.close();
	for (const suffix of ['-wal', '-shm']) rmSync(`${path}${suffix}`, {force: true});
	copyFileSync(`${path}-copy`, path);
	return path;
}

/** A copy whose tables take values of every type. */
function loosened(path: string, copy: string): string {
	copyFileSync(path, copy);
	const db = new Database(copy);
	db.unsafeMode();
	db.pragma('writable_schema = on');
	// Without the affinity that `any` has there: text that looks like a number would count as damage.
	db.exec("update sqlite_schema set sql = replace(replace(replace(sql, ') strict, without rowid', ') without rowid'), ') strict', ')'), ' any', ' blob')");
	db.pragma('writable_schema = reset');
	db.pragma('journal_mode = delete');
	db.close();
	return copy;
}

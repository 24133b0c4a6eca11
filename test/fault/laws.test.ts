import {join} from 'node:path';
import test from 'ava';
import Database from 'better-sqlite3';
import {MAX_EXECUTIONS, MAX_LOG_LINES, type Outcome} from '../../lib/job/claim.ts';
import type {Policy} from '../../lib/job/policy.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {commitPlain} from '../fixtures/plain.ts';
import {openQueueAt} from '../fixtures/queue.ts';
import type {RawQueue} from '../fixtures/raw-queue.ts';
import {brokenLaws, LAWS} from './laws.ts';

const POLICY: Policy = {maxAttempts: 2, timeoutMs: null, backoff: {baseMs: 1000, factor: 2, maxMs: 60_000, jitter: 0}, retry: 'auto'};
const JOB = {task: 'count', payload: '1', priority: 0, runAt: null, policy: POLICY};
const ERROR = {reason: 'threw', name: 'Error', message: 'no'} as const;
/** One job in each place, which is its id; the completed one is the whole of a batch. */
const [READY, RUNNING, COMPLETED, DEAD, FAILED] = [1, 2, 3, 4, 5] as const;

/** What breaks each law. */
const CRIMES: Readonly<Record<keyof typeof LAWS, readonly string[]>> = {
	'the file is sound': [],
	'I1: each job is in exactly one place': [
		`delete from ready where id = ${READY}`,
		`insert into outcome (id, status, execution, ended_at) values (${READY}, 6, 1, 0)`,
	],
	'I1: what lies in a place is a job, of this task, batch and priority': [
		`delete from job where id = ${READY}`,
		`update ready set rank = 7 where id = ${READY}`,
		`update claimed set task = 9 where id = ${RUNNING}`,
	],
	'I2: the tally is what a recount gives': ['update tally set jobs = jobs + 1 where state = 6', 'delete from tally where task > 0 and state = 0'],
	'I2: the tally of each batch is what a recount gives': ['update batch_tally set jobs = jobs + 1 where state = 6'],
	'I3: a blocked job waits for as many parents as have not ended as they must': [
		`insert into blocked_run (first, last, task, rank, executions, parents) values (${READY}, ${READY}, 1, 0, 0, 1)`,
		`insert into blocked_run (first, last, task, rank, executions, parents) values (${FAILED}, ${FAILED}, 1, 0, 0, 1);
			insert into edge (parent_first, parent_last, child_first, child_last, is_each, runs_on_dead) values (${READY}, ${DEAD}, ${FAILED}, ${FAILED}, 0, 0)`,
	],
	'I3: each edge has a child that exists': [
		`insert into edge (parent_first, parent_last, child_first, child_last, is_each, runs_on_dead) values (${READY}, ${READY}, 90, 90, 0, 0)`,
	],
	'the moment of a schedule is that of a job that exists': ['insert into scheduled (id, at) values (90, 0)'],
	'I4: a key names the job that has it, and each job with a key is named, unless it has ended': ['delete from key', `update key set id = ${DEAD}`],
	'I4: no two jobs have the same key': ['insert into key_run (batch, first, last, first_id) values (1, 0, 2, 90), (1, 1, 1, 91)'],
	'I10: what is told of a job is told of one that is there': ['insert into progress (id, done, at) values (99, 1, 0)'],
	'I11: a run has all of its jobs, and no other has one of them': [
		'insert into ready_run (task, rank, first, last) values (1, 0, 90, 95)',
		`insert into claimed_run (first, last, lease, owner, task) values (${RUNNING}, ${COMPLETED}, 1, 1, 1);
			insert into ready_run (task, rank, first, last) values (1, 0, ${COMPLETED}, ${COMPLETED})`,
	],
	'I11: jobs that share a row have no rows of their own': [
		`insert into job_run (first, last, task, policy, priority, created_at) values (${READY}, ${READY}, 1, 1, 0, 0)`,
	],
	'I11: a run knows of each of its jobs what its payload is': [
		"insert into job_run (first, last, task, policy, priority, created_at, payloads) values (90, 91, 1, 1, 0, 0, '1')",
	],
	'I11: a run knows of each of its jobs how it ended': [
		`insert into outcome_run (first, last, ended_at, times) values (${READY}, ${READY}, 0, x'00')`,
		`insert into outcome_run (first, last, ended_at, times, results) values (${READY}, ${READY}, 0, zeroblob(32), '1' || char(10) || '2')`,
	],
	'I5: a running job has been claimed by an owner that is there': ['delete from owner'],
	'I6: ids and leases are at most what the counters say': [
		'update tally set jobs = 1 where task = 0 and state = 0',
		'update tally set jobs = 0 where task = 0 and state = 1',
	],
	'I7: a job was executed before it ended by itself, and runs at least for the first time': [`update claimed set execution = 0 where id = ${RUNNING}`],
	'I7: attempts are at most those allowed and at most the executions': [
		`update failure_state set attempts = 3 where id = ${DEAD}; update outcome set execution = 9 where id = ${DEAD}`,
		`update failure_state set attempts = 2 where id = ${FAILED}`,
	],
	'I8: a dead job says why': [`update failure_state set failure = null where id = ${DEAD}`, `update failure_state set attempts = 0 where id = ${DEAD}`],
	'I8: only a completed job has a result': [`update outcome set value = '1' where id = ${DEAD}`],
	'I8: a completed job has no checkpoint and no failure, and is no suspect': [
		`insert into checkpoint (id, execution, at) values (${COMPLETED}, 1, 0)`,
		`insert into failure_state (id, attempts, suspicion) values (${COMPLETED}, 0, 1)`,
	],
	'the ready jobs that are suspects, and only they, are in the lane of suspects': [
		`update ready set task = -task where id = ${READY}`,
		`insert into failure_state (id, attempts, suspicion) values (${READY}, 0, 1)`,
	],
	'I9: a batch is completed if all its input has ended, and not while a job of it has not': [
		'update batch set completed_at = null',
		`update outcome set status = 5 where id = ${COMPLETED}`,
	],
	'no job expires that has failed, or ended by itself': [`insert into expiry values (${FAILED}, 5, 5)`, `insert into expiry values (${COMPLETED}, 5, -5)`],
	'a job keeps a bounded log': [
		`with recursive line(n) as (select 0 union all select n + 1 from line where n < ${MAX_LOG_LINES})
			insert into log (id, execution, at, level, text) select ${RUNNING}, 1, 0, 'info', 'a' from line`,
	],
	'a job keeps a bounded history': [
		`with recursive past(n) as (select 0 union all select n + 1 from past where n < ${MAX_EXECUTIONS})
			insert into execution (id, execution, state, ended_at) select ${RUNNING}, n, 3, 0 from past`,
	],
};

test('each law of a database is found broken once it is', async t => {
	t.deepEqual(Object.keys(CRIMES), Object.keys(LAWS));
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path, {durability: 'normal'});
	await fill(queue);
	const db = new Database(path);
	t.deepEqual(brokenLaws(db), []);
	for (const [law, sql] of Object.entries(CRIMES).flatMap(([law, crimes]) => crimes.map(sql => [law, sql] as const))) {
		db.exec('begin');
		db.exec(sql);
		t.true(isFound(law, brokenLaws(db)), `${law}: ${sql}`);
		db.exec('rollback');
	}
	await queue.close();
	db.exec(`update outcome set blob = 'gone', value = null where id = ${COMPLETED}`);
	t.true(isFound("a result's file is there", brokenLaws(db)));
	db.exec(`update outcome set blob = null where id = ${COMPLETED}`);
	loosen(db);
	t.true(isFound('the file is sound', brokenLaws(db)));
});

function isFound(law: string, broken: readonly string[]): boolean {
	return broken.some(sentence => sentence.startsWith(`Broken: ${law}: `));
}

async function fill(queue: RawQueue): Promise<void> {
	const batch = await queue.openBatch('all', 'count', 'me');
	await queue.enqueue([{...JOB, priority: -1, key: 'a'}, JOB, {...JOB, batch}, {...JOB, policy: {...POLICY, maxAttempts: 1}}, JOB]);
	const {lease} = await queue.dequeue({owner: 'me', tasks: ['count'], limit: 4});
	const outcomes: readonly (readonly [number, Outcome])[] = [
		[COMPLETED, {type: 'returned', value: '1'}],
		[DEAD, {type: 'threw', error: ERROR}],
		[FAILED, {type: 'threw', error: ERROR}],
	];
	await commitPlain(queue.store, {settle: outcomes.map(([id, outcome]) => ({id, lease, execution: 1, outcome}))});
	await queue.endInput(batch, 1, 'me');
}

/** An index that lacks a row, as a page that was lost leaves it. */
function loosen(db: Database.Database): void {
	db.unsafeMode();
	db.pragma('writable_schema = on');
	db.exec("create index other on outcome (ended_at) where status = 99; update sqlite_schema set sql = replace(sql, '99', '6') where name = 'other'");
	db.pragma('writable_schema = reset');
}

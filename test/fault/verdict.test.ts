import {copyFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import Database from 'better-sqlite3';
import {nameIn} from '../../lib/store/task-number.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {loosenCompleted} from '../fixtures/stored.ts';
import {type Evidence, type Life, run} from './torture/campaign.ts';
import {childOf, type Step, type Told, type What} from './torture/history.ts';
import {judge, LAWS} from './torture/verdict.ts';

/** What an engine would have done to break the law: to what is said of it, or to its database. */
interface Crime {
	readonly evidence?: (honest: Evidence) => Partial<Evidence>;
	readonly sql?: (honest: Evidence) => string;
}

const last = ({told, steps}: Evidence) => Math.max(...told.map(({at}) => at), ...steps.map(({at}) => at)) + 1;
const first = ({told, steps}: Evidence) => Math.min(...told.map(({at}) => at), ...steps.map(({at}) => at)) - 1;
const says = <Each extends What>(what: Omit<Extract<Told, {what: Each}>, 'slot' | 'number'> & {readonly what: Each}): Told =>
	({slot: 0, number: 0, ...what}) as unknown as Told;
const alsoSays =
	(make: (honest: Evidence) => Told | readonly Told[]) =>
	(honest: Evidence): Partial<Evidence> => ({told: [...honest.told, ...[make(honest)].flat()]});
const alsoDoes =
	(make: (of: Step, honest: Evidence) => Partial<Step>) =>
	(honest: Evidence): Partial<Evidence> => {
		const of = honest.steps.find(({step, task}) => step === 'start' && task === 'compute') as Step;
		return {steps: [...honest.steps, {...of, ...make(of, honest)}].sort((a, b) => a.at - b.at)};
	};
const lived =
	(life: Partial<Life>) =>
	({lives: [one, ...others]}: Evidence): Partial<Evidence> => ({lives: [{...(one as Life), ...life}, ...others]});
const completed = ({told}: Evidence, index = 0) => told.filter(each => each.what === 'item').filter(({status}) => status === 'completed')[index]?.id as number;
const dead = ({told}: Evidence) => told.find(each => each.what === 'item' && each.status === 'dead') as Told<'item'>;

/** One for each law, and for each thing that it forbids. */
const CRIMES: Readonly<Record<string, readonly Crime[]>> = {
	'programs end only as they are told to': [
		{evidence: lived({end: {code: 1, signal: null}})},
		{evidence: lived({by: 'SIGTERM', end: {code: null, signal: 'SIGSEGV'}})},
	],
	'a program that exits with 0 has printed no error': [{evidence: lived({stderr: 'SQLITE_BUSY: database is locked'})}],
	'no program waits for an answer while others get thousands': [
		{
			evidence: alsoSays(honest => [
				{...says<'try'>({what: 'try', at: first(honest), tokens: ['waits']}), slot: 1},
				{...says<'enqueued'>({what: 'enqueued', at: last(honest), tokens: ['waits'], ids: []}), slot: 1},
				...Array.from({length: 3000}, () => says<'enqueued'>({what: 'enqueued', at: last(honest) - 0.5, tokens: [], ids: []})),
			]),
		},
	],
	'no transaction fails, however many programs write': [
		{evidence: alsoSays(honest => says<'warned'>({what: 'warned', at: last(honest), message: 'transaction failed; it is tried again'}))},
	],
	'every job ends': [{sql: honest => `delete from outcome where id = ${completed(honest)}`}],
	'no job of a flow runs that was not enqueued wholly': [
		{
			sql: honest => `insert into batch (id, name, task, created_at, marks, shape) values (99, 'flow0.0', 0, 0, '[]', '{}');
				update job set batch = 99 where id = ${completed(honest)}`,
		},
	],
	'an acknowledged job is there, unless it ended and was cleaned up': [
		{evidence: alsoSays(honest => says<'enqueued'>({what: 'enqueued', at: last(honest), tokens: ['lost'], ids: [1_000_000]}))},
	],
	'every job was enqueued': [{evidence: ({told}) => ({told: told.filter(({what}) => what !== 'try')})}],
	'no job is there twice': [
		{sql: honest => `update job set payload = (select payload from job where id = ${completed(honest)}) where id = ${completed(honest, 1)}`},
	],
	"an execution's number is used once": [{evidence: alsoDoes((_, honest) => ({at: last(honest)}))}],
	"an execution's number is higher than those before": [{evidence: alsoDoes((_, honest) => ({at: last(honest), execution: 0}))}],
	'executions of one job never overlap': [
		{evidence: alsoDoes(({at, execution}) => ({at: at + 1e-6, execution: execution + 1}))},
		{
			evidence: honest => {
				const {steps = []} = alsoDoes(({at, execution}) => ({at: at + 1e-6, execution: execution + 1}))(honest);
				return {steps: steps.filter(({step, task}) => step !== 'returns' || task !== 'compute')};
			},
		},
	],
	'a completed job has the result that its execution returned': [
		{evidence: ({steps}) => ({steps: steps.map(step => (step.step === 'returns' ? {...step, value: 'another'} : step))})},
		{sql: honest => `update outcome set execution = execution + 1 where id = ${completed(honest)}`},
	],
	'a reported end stays, and the job is not executed after it': [
		{evidence: alsoSays(honest => says<'ended'>({what: 'ended', at: last(honest), id: completed(honest), status: 'dead'}))},
		{evidence: alsoDoes((_, honest) => ({at: last(honest), id: completed(honest), execution: 9}))},
		{sql: honest => `update outcome set value = '"another"' where id = ${completed(honest)}`},
	],
	'an item of a batch is yielded the same each time': [
		{
			evidence: alsoSays(honest => ({...(honest.told.find(({what}) => what === 'item') as Told<'item'>), value: 'another'})),
		},
	],
	'attempts are charged only for what the job did': [{evidence: ({steps}) => ({steps: steps.filter(({step}) => step !== 'throws')})}],
	'a job dies only of its own failures': [{evidence: ({steps}) => ({steps: steps.filter(({step}) => step !== 'throws')})}],
	'when a job was stopped none of its commands runs on': [
		{
			evidence: alsoSays(honest =>
				says<'stopped'>({what: 'stopped', at: last(honest), id: completed(honest), left: [{pid: 1234, steps: '/steps/no-program'}]}),
			),
		},
	],
	'no command outlives the program whose child process ran it': [
		{evidence: honest => ({...lived({commandsLeft: [1234]})(honest), campaign: {...honest.campaign, isolation: 'process'}})},
	],
	'no job starts before its time': [{evidence: alsoDoes(({wall, payload}, honest) => ({at: last(honest), payload: {...payload, notBefore: wall + 1}}))}],
	'a job goes on from a checkpoint of an earlier execution of its own': [{evidence: alsoDoes(({execution}, honest) => ({at: last(honest), from: execution}))}],
	'a job that was cancelled before it ran does not start': [
		{
			evidence: alsoSays(honest => says<'cancelled'>({what: 'cancelled', at: first(honest), id: dead(honest).id})),
			sql: honest => `update outcome set status = 8 where id = ${dead(honest).id}`,
		},
	],
	'no job of a paused task starts': [
		{
			evidence: honest => ({
				...alsoSays(({told}) => says<'paused'>({what: 'paused', at: Math.max(...told.map(({at}) => at)) + 1}))(honest),
				...alsoDoes((_, {told}) => ({at: Math.max(...told.map(({at}) => at)) + 2, task: 'pausable'}))(honest),
			}),
		},
	],
	'a completed job has enqueued its child job, once': [
		{sql: honest => `update job set task = task - ${nameIn('task')} + (select id from task where name = 'make') where id = ${completed(honest)}`},
	],
	'a child job is there only if its parent completed': [
		{
			sql: honest => `update job set task = task - ${nameIn('task')} + (select id from task where name = 'make') where id = ${dead(honest).id};
				update job set payload = json_object('token', (select json_extract(payload, '$.token') || '${childOf('')}' from job where id = ${dead(honest).id}))
				where id = ${completed(honest)}`,
		},
	],
	'a completed batch has enqueued its job, once': [{evidence: alsoSays(honest => says<'mapped'>({what: 'mapped', at: last(honest), batch: 77}))}],
	'no child starts before its parents have returned, and it gets what they returned': [
		{evidence: alsoDoes(({payload}) => ({payload: {...payload, parents: ['other#1.1'], of: ['other']}}))},
		{
			evidence: honest => {
				const {value = '', at} = honest.steps.find(({step}) => step === 'returns') as Step;
				return alsoDoes(({payload}) => ({at: at + 1, payload: {...payload, parents: [value], of: ['other']}}))(honest);
			},
		},
	],
	'a child whose parents have completed is not cancelled because of them': [
		{
			sql: honest => `update outcome set status = 8 where id = ${dead(honest).id};
				update job set payload = json_object('token', 'child', 'of',
					json_array((select json_extract(payload, '$.token') from job where id = ${completed(honest)}))) where id = ${dead(honest).id}`,
		},
	],
	'a pipe yields a result for each item, once': [{evidence: alsoSays(honest => says<'piped'>({what: 'piped', at: last(honest), pipe: 77, values: []}))}],
	'each moment of a schedule has one job': [
		{
			evidence: honest =>
				alsoDoes(() => ({task: 'moment', moment: 5000, id: 1}))({...honest, ...alsoDoes(() => ({task: 'moment', moment: 5000, id: 2}))(honest)}),
		},
	],
	'no moment of a schedule is lost': [
		{
			evidence: honest => {
				const returns = (moment: number) => alsoDoes(() => ({step: 'returns', task: 'moment', moment}));
				return returns(5000)({...honest, ...returns(1000)(honest)});
			},
		},
	],
	'a signal ends a program soon': [{evidence: lived({by: 'SIGTERM', dyingMs: 60_000})}],
	'a program that ends in good order leaves no suspects': [
		{sql: honest => `insert into failure_state (id, attempts, suspicion) values (${completed(honest)}, 0, 1)`},
	],
	'no child process outlives its program for long': [{evidence: lived({orphanedMs: 60_000})}],
	'nothing is left beside the database': [{evidence: ({left}) => ({left: [...left, 'jobs.db-wal']})}],
};

test('the verdict on a torture finds each broken law', async t => {
	t.deepEqual(Object.keys(CRIMES), Object.keys(LAWS));
	const folder = makeFolder(t);
	const honest = await run({seed: 1, kills: 0, endings: ['close'], slots: 1, isolation: 'thread', cleans: false}, folder);
	t.deepEqual(judge(honest), []);
	for (const [law, {evidence, sql}] of Object.entries(CRIMES).flatMap(([law, crimes]) => crimes.map(crime => [law, crime] as const))) {
		const database = join(folder, 'tampered.db');
		copyFileSync(honest.database, database);
		if (sql) commit(database, sql(honest));
		const broken = judge({...honest, database, ...evidence?.(honest)});
		t.true(
			broken.some(sentence => sentence.startsWith(`Broken: ${law}: `)),
			`${law}: ${sql?.(honest) ?? evidence}`,
		);
	}
	t.false(judge({...honest, ...killed(honest)}).some(sentence => sentence.includes('overlap')));
});

/** Its last execution is repeated by another program before the campaign has heard of its death. */
function killed(honest: Evidence): Partial<Evidence> {
	const diedAt = last(honest);
	const steps = [1, 2].map(
		execution => alsoDoes(({pid}) => ({at: diedAt + execution, id: 1_000_000, execution, pid: pid + execution - 1}))(honest).steps?.at(-1) as Step,
	);
	return {steps: [...honest.steps, ...steps], ...lived({endedAt: diedAt + 1000})(honest)};
}

function commit(database: string, sql: string): void {
	const db = new Database(database);
	loosenCompleted(db);
	db.exec(sql);
	db.close();
}

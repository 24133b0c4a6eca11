import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import Database from 'better-sqlite3';
import type {OpenOptions} from '../../lib/index.ts';
import {openForTest, type TestEngine} from '../../lib/testing.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {makeLogger} from '../fixtures/logger.ts';

/** An engine whose task `note` keeps the moments for which it ran. */
async function openNotes(now: string, t: {teardown(fn: () => unknown): void}, options: Partial<Pick<OpenOptions, 'logger' | 'queue'>> = {}) {
	const noted: string[] = [];
	const tasks = {
		note(_: unknown, {job}: {job: {scheduledAt?: number}}) {
			noted.push(job.scheduledAt === undefined ? 'none' : new Date(job.scheduledAt).toISOString());
		},
		fail(): never {
			throw new Error('no');
		},
	};
	const faena: TestEngine<typeof tasks> = await openForTest(tasks, {...options, now: new Date(now)});
	t.teardown(() => faena.close());
	return {faena, noted};
}

function changeDatabase(queue: string, sql: string): void {
	const db = new Database(queue);
	db.exec(sql);
	db.close();
}

test('both changes of a year between summer and winter: each night has one moment, also the one whose 02:30 there is twice or not at all', async t => {
	for (const [from, moments] of [
		// 02:30 comes twice, as 00:30 and 01:30 UTC: the first counts.
		['2026-10-24T12:00:00Z', ['2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z', '2026-10-27T01:30:00.000Z']],
		// 02:30 does not come: 03:00 counts, which is the moment at which the clock is put forward.
		['2027-03-27T12:00:00Z', ['2027-03-28T01:00:00.000Z', '2027-03-29T00:30:00.000Z', '2027-03-30T00:30:00.000Z']],
	] as const) {
		const {faena, noted} = await openNotes(from, t);
		const schedule = await faena.setSchedule('nightly', {cron: '30 2 * * *', timezone: 'Europe/Berlin', task: 'note', payload: null});
		t.deepEqual(
			(await schedule.next(3)).map(each => new Date(each).toISOString()),
			[...moments],
		);
		for (let hour = 0; hour < 66; hour++) {
			faena.clock.advance('1h');
			await faena.drain();
		}
		t.deepEqual(noted, [...moments]);
	}
});

test('an expression with several times a day follows the clock: a time that comes twice has two moments, one that does not come none', async t => {
	const {faena} = await openNotes('2026-10-24T12:00:00Z', t);
	const half = await faena.setSchedule('half', {cron: '0,30 2 * * *', timezone: 'Europe/Berlin', task: 'note', payload: null});
	const times = async (count: number) => (await half.next(count)).map(each => new Date(each).toISOString().slice(0, 16));
	t.deepEqual(await times(5), ['2026-10-25T00:00', '2026-10-25T00:30', '2026-10-25T01:00', '2026-10-25T01:30', '2026-10-26T01:00']);
	faena.clock.advance('154d');
	await faena.drain();
	t.deepEqual(await times(2), ['2027-03-29T00:00', '2027-03-29T00:30']);
});

test('each hour of both changes has its moment; a leap day comes each fourth year', async t => {
	const {faena, noted} = await openNotes('2026-10-24T23:30:00Z', t);
	await faena.setSchedule('hourly', {cron: '0 * * * *', timezone: 'Europe/Berlin', task: 'note', payload: null});
	for (let half = 0; half < 8; half++) {
		faena.clock.advance('30m');
		await faena.drain();
	}
	t.deepEqual(noted, ['2026-10-25T00:00:00.000Z', '2026-10-25T01:00:00.000Z', '2026-10-25T02:00:00.000Z', '2026-10-25T03:00:00.000Z']);
	const leap = await faena.setSchedule('leap', {cron: '0 12 29 2 *', timezone: 'UTC', task: 'note', payload: null});
	t.deepEqual(
		(await leap.next(2)).map(each => new Date(each).toISOString()),
		['2028-02-29T12:00:00.000Z', '2032-02-29T12:00:00.000Z'],
	);
});

test('after a downtime, catchUp says how many of the missed moments get a job', async t => {
	const {faena, noted} = await openNotes('2026-01-01T00:00:30Z', t);
	const every = {every: '1h', task: 'note', payload: null} as const;
	const schedules = {
		none: await faena.setSchedule('none', {...every, catchUp: 'none'}),
		one: await faena.setSchedule('one', every),
		all: await faena.setSchedule('all', {...every, catchUp: 'all'}),
	};
	faena.clock.advance('5h');
	await faena.drain();
	t.like(await schedules.none.info(), {runs: 1, missed: 4});
	t.like(await schedules.one.info(), {runs: 1, missed: 4});
	t.like(await schedules.all.info(), {runs: 5, missed: 0});
	t.is(noted.length, 7);
	// The last moment was missed by more than a minute.
	faena.clock.advance('310m');
	await faena.drain();
	t.like(await schedules.none.info(), {runs: 1, missed: 9, nextAt: Date.parse('2026-01-01T11:00:00Z')});
	t.like(await schedules.one.info(), {runs: 2, missed: 8, lastAt: Date.parse('2026-01-01T10:00:00Z')});
	faena.clock.advance('365d');
	await faena.drain();
	t.like(await schedules.all.info(), {runs: 10 + 1000, missed: 365 * 24 - 1000});
	t.is(noted.at(-1), '2027-01-01T10:00:00.000Z');
});

test('a clock that is set back a day repeats no moment', async t => {
	const folder = makeFolder(t);
	const queue = join(folder, 'jobs.db');
	const moments: string[] = [];
	const tasks = {note: (_: unknown, {job}: {job: {scheduledAt?: number}}) => void moments.push(new Date(job.scheduledAt ?? 0).toISOString())};
	const before = await openForTest(tasks, {queue, now: new Date('2026-06-02T00:30:00Z')});
	await before.setSchedule('hourly', {every: '1h', task: 'note', payload: null});
	before.clock.advance('1h');
	await before.drain();
	await before.close();
	// The same queue, by a clock that is a day behind.
	const after = await openForTest(tasks, {queue, now: new Date('2026-06-01T01:30:00Z')});
	t.teardown(() => after.close());
	for (let hour = 0; hour < 25; hour++) {
		after.clock.advance('1h');
		await after.drain();
	}
	t.deepEqual(moments, ['2026-06-02T01:00:00.000Z', '2026-06-02T02:00:00.000Z']);
});

test('a dead run does not end the schedule; until does; a paused one misses nothing', async t => {
	const {faena} = await openNotes('2026-01-01T00:30:00Z', t);
	const schedule = await faena.setSchedule('failing', {every: '1h', task: 'fail', maxAttempts: 1, until: new Date('2026-01-01T04:00:00Z')});
	for (let hour = 0; hour < 2; hour++) {
		faena.clock.advance('1h');
		await faena.drain();
	}
	await schedule.pause();
	t.deepEqual(await schedule.next(), []);
	faena.clock.advance('1h');
	await faena.drain();
	await schedule.resume();
	t.deepEqual(await schedule.next(), [Date.parse('2026-01-01T04:00:00Z')]);
	faena.clock.advance('5h');
	await faena.drain();
	const info = await schedule.info();
	t.like(info, {runs: 3, missed: 0, isPaused: false});
	t.is(info?.nextAt, undefined);
	t.like(await faena.counts(), {dead: 3});
	await schedule.delete();
	await t.throwsAsync(schedule.delete(), {code: 'NoSuchSchedule'});
	t.is(await schedule.info(), undefined);
	await t.throwsAsync(schedule.pause(), {code: 'NoSuchSchedule', message: 'There is no schedule "failing"; it may have been deleted.'});
	await t.throwsAsync(schedule.runNow(), {code: 'NoSuchSchedule'});
	await t.throwsAsync(schedule.resume(), {code: 'NoSuchSchedule'});
});

test('an interval may count from the end of the job before', async t => {
	const {faena, noted} = await openNotes('2026-01-01T00:00:00Z', t);
	const schedule = await faena.setSchedule('after', {every: '10m', from: 'end', task: 'note', payload: null});
	await faena.drain();
	t.deepEqual(noted, ['2026-01-01T00:00:00.000Z']);
	faena.clock.advance('10m');
	await faena.drain();
	t.deepEqual(noted.slice(1), ['2026-01-01T00:10:00.000Z']);
	t.deepEqual(await schedule.next(), [Date.parse('2026-01-01T00:20:00Z')]);
	// The same again, at the next start of the program, and another interval: neither runs at once.
	faena.clock.advance('1m');
	await faena.setSchedule('after', {every: '10m', from: 'end', task: 'note', payload: null});
	t.deepEqual(await schedule.next(), [Date.parse('2026-01-01T00:20:00Z')]);
	await faena.setSchedule('after', {every: '20m', from: 'end', task: 'note', payload: null});
	t.deepEqual(await schedule.next(), [Date.parse('2026-01-01T00:31:00Z')]);
	await faena.drain();
	t.is(noted.length, 2);
});

test('the same schedule at each start of a program changes nothing; runNow() enqueues a job beside the moments', async t => {
	const {faena, noted} = await openNotes('2026-01-01T00:00:00Z', t);
	const set = () => faena.setSchedule('daily', {every: '1d', task: 'note', payload: {a: 1}});
	await set();
	faena.clock.advance('1h');
	const schedule = await set();
	t.like(await schedule.info(), {nextAt: Date.parse('2026-01-02T00:00:00Z'), payload: {a: 1}});
	const job = await schedule.runNow();
	await faena.drain();
	t.is((await job?.info())?.scheduledAt, Date.parse('2026-01-01T01:00:00Z'));
	t.deepEqual(noted, ['2026-01-01T01:00:00.000Z']);
	t.like((await faena.schedules())[0], {name: 'daily', runs: 1, nextAt: Date.parse('2026-01-02T00:00:00Z')});
	t.like(await faena.schedule('daily').info(), {name: 'daily'});
});

test('a schedule that cannot be advanced is reported once, and keeps no other from its moments', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const {logger, lines} = makeLogger();
	const {faena, noted} = await openNotes('2026-01-01T00:00:00Z', t, {queue, logger});
	await faena.setSchedule('broken', {cron: '0 * * * *', timezone: 'UTC', task: 'note', payload: null});
	await faena.setSchedule('sound', {every: '1h', task: 'note', payload: null});
	changeDatabase(queue, `update schedule set spec = replace(spec, 'UTC', 'Mars') where name = 'broken'`);
	for (let hour = 0; hour < 3; hour++) {
		faena.clock.advance('1h');
		await faena.drain();
	}
	t.deepEqual(noted, ['2026-01-01T01:00:00.000Z', '2026-01-01T02:00:00.000Z', '2026-01-01T03:00:00.000Z']);
	const refusals = lines.filter(({level}) => level === 'error');
	t.is(refusals.length, 1);
	t.like(refusals[0], {task: 'note'});
	await faena.setSchedule('broken', {cron: '0 * * * *', timezone: 'UTC', task: 'note', payload: null});
	faena.clock.advance('1h');
	await faena.drain();
	t.is(noted.length, 5);
});

test('a schedule that another program has made unreadable takes no processor time', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue});
	await faena.setSchedule('each second', {every: '1s', task: 'echo', payload: 1});
	changeDatabase(queue, `update schedule set spec = 'nonsense'`);
	await sleep(1100);
	const before = process.cpuUsage();
	await sleep(1000);
	const {user, system} = process.cpuUsage(before);
	t.log(`${(user + system) / 1000} ms`);
	t.true(user + system < 500_000);
});

test('bad input of a schedule: a sentence each', async t => {
	const {faena} = await openNotes('2026-01-01T00:00:00Z', t);
	const set = faena.setSchedule.bind(faena, 'bad') as unknown as (options: unknown) => Promise<unknown>;
	for (const [options, message] of [
		[{task: 'note'}, /either cron or every/],
		[{task: 'note', cron: '* * * * *', every: '1h'}, /either cron or every/],
		[{cron: '* * * * *'}, /expects the option task/],
		[{task: 'note', cron: 'nonsense'}, /expects as cron an expression such as '0 2 \* \* \*'.*it got "nonsense"/],
		[{task: 'note', cron: `${'0,'.repeat(1000)}0 * * * *`}, /at most 500 characters; it got 2009/],
		[{task: 'note', cron: '61 * * * *'}, /Invalid value for minute: 61/],
		[{task: 'note', cron: '0 0 30 2 *'}, /whose time never comes/],
		[{task: 'note', cron: '0 0 * * *', timezone: 'Europe/Berln'}, /a name of the IANA database, such as 'Europe\/Berlin'; it got "Europe\/Berln"/],
		[{task: 'note', every: '1h', timezone: 'UTC'}, /timezone without cron/],
		[{task: 'note', cron: '* * * * *', from: 'end'}, /from without every/],
		[{task: 'note', every: 10}, /at least 1000/],
		[{task: 'note', every: '1h', until: new Date('2025-01-01')}, /a time until before its first moment/],
		[{task: 'note', every: '1h', catchup: 'all'}, /did you mean "catchUp"/],
		[{task: 'note', every: '1h', catchUp: 'some'}, /expects as catchUp/],
		[{task: 'note', every: '1h', maxAttempts: 0}, /maxAttempts/],
		[{task: 'note', every: '1h', key: 'x'}, /no option "key"/],
	] as const)
		await t.throwsAsync(set(options), {code: 'BadOption', message}, JSON.stringify(options));
	await t.throwsAsync(set({task: 'nothing', every: '1h'}), {code: 'UnknownTask'});
	t.throws(() => faena.schedule(''), {code: 'BadOption'});
	t.throws(() => (faena.schedule as (...args: unknown[]) => unknown).call(faena, 'bad', {every: '1h'}), {
		code: 'BadOption',
		message: /setSchedule\(name, options\)/,
	});
	t.deepEqual(await faena.schedules(), []);
});

test('however many engines run, each moment has one job', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const engines = [await openEngine(t, {queue}), await openEngine(t, {queue}), await openEngine(t, {queue})] as const;
	const from = Date.now();
	await Promise.all(engines.map(each => each.setSchedule('each second', {every: '1s', task: 'echo', payload: 1, overlap: 'queue', catchUp: 'all'})));
	const acknowledged = Date.now();
	await sleep(3500);
	await engines[0].schedule('each second').pause();
	await engines[0].idle();
	const moments = (await engines[0].jobs({task: 'echo'}).page()).map(({scheduledAt}) => scheduledAt ?? 0).toSorted();
	const [first = 0] = moments;
	t.true(moments.length >= 3, `${moments.length}`);
	// The next whole second after the schedule was written, which was between its call and the answer.
	t.true(first > from && first <= acknowledged + 1000, `${from} ${first} ${acknowledged}`);
	t.deepEqual(
		moments,
		moments.map((_, index) => first + 1000 * index),
	);
});

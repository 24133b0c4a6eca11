import test from 'ava';
import type {Clients} from '../../lib/dispatcher/clients.ts';
import type {Committer} from '../../lib/dispatcher/committer.ts';
import {Maintenance} from '../../lib/dispatcher/maintenance.ts';
import type {Retries} from '../../lib/dispatcher/retries.ts';
import type {Health} from '../../lib/job/events.ts';
import type {News} from '../../lib/store/store.ts';
import {makeContext} from '../fixtures/dispatcher.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {override} from '../fixtures/override.ts';
import {MemoryStore} from '../store/oracle.ts';

const MIB = 1024 * 1024;
const NO_BYTES = {databaseBytes: 0, freeBytes: 0, logBytes: 0};

/** What the dispatcher is told, in order, by the names of its verbs. */
function setUp() {
	const told: [name: string, ...args: unknown[]][] = [];
	const tell =
		(name: string) =>
		(...args: unknown[]) =>
			void told.push([name, ...args]);
	let listener: (each: News) => unknown = () => undefined;
	const store = override(new MemoryStore(), () => ({
		listen: (owner, own) => {
			told.push(['listen', owner]);
			listener = own;
			return () => void told.push(['unlisten']);
		},
	}));
	const clients = {allMayHaveEnded: tell('watchedMayHaveEnded'), publish: tell('publish')} as unknown as Clients;
	const retries = {listening: {add: tell('failed'), clear: tell('succeeded')}} as unknown as Retries;
	const {context} = makeContext(store, {clock: new HandClock(), clients, retries, wake: tell('wake')});
	const committer = {jobsMayBeReady: tell('jobsMayBeReady'), jobsMayExpire: tell('jobsMayExpire'), stop: tell('stop'), statistics: {}};
	const news = new Maintenance(context, committer as unknown as Committer, 30_000);
	/** Takes what the context was told since the last time. */
	const takeTold = () => told.splice(0);
	const health = (of: Partial<Health>) => {
		listener({type: 'health', ...NO_BYTES, ...of});
		news.handleNews();
		return takeTold().filter(([name]) => name === 'publish');
	};
	return {news, committer, takeTold, health, tell: (each: News) => listener(each)};
}

test('news wakes the loop, and waits for it: the store looks again once the loop has attended to it', async t => {
	const {news, takeTold, tell} = setUp();
	t.deepEqual(takeTold(), [['listen', 'owner']]);
	let hasAttended = false;
	t.is(news.news.length > 0, false);
	const done = Promise.resolve(tell({type: 'changed', stop: []})).then(() => {
		hasAttended = true;
	});
	t.is(news.news.length > 0, true);
	t.deepEqual(takeTold(), [['wake', 'news']]);
	await new Promise(resolve => setImmediate(resolve));
	t.false(hasAttended);
	news.handleNews();
	await done;
	t.is(news.news.length > 0, false);
	t.deepEqual(takeTold(), [['jobsMayBeReady'], ['jobsMayExpire'], ['watchedMayHaveEnded']]);
	news.handleNews();
	t.deepEqual(takeTold(), []);
});

test('after a write of another process jobs may be ready, watched jobs are in doubt, and those that it cancelled are stopped', t => {
	const {news, takeTold, tell} = setUp();
	tell({type: 'changed', stop: [5, 6].map(id => ({id, lease: 1, execution: 1}))});
	takeTold();
	news.handleNews();
	t.deepEqual(takeTold(), [['jobsMayBeReady'], ['jobsMayExpire'], ['watchedMayHaveEnded'], ['stop', 5, 1], ['stop', 6, 1]]);
});

test('a completed batch is reported to the callers, and its job may be ready', t => {
	const {news, takeTold, tell} = setUp();
	const counts = {blocked: 0, pending: 0, running: 0, completed: 1, failed: 0, dead: 0, cancelled: 0};
	tell({type: 'batchCompleted', batch: 'nightly', counts});
	takeTold();
	news.handleNews();
	t.deepEqual(takeTold(), [['jobsMayBeReady'], ['publish', {type: 'batchCompleted', batch: 'nightly', counts}]]);
});

test('a store that can not look is a failure, and one that can is the end of failures', t => {
	const {news, takeTold, tell} = setUp();
	const error = new Error('no disk');
	tell({type: 'failed', error});
	tell({type: 'health', ...NO_BYTES});
	takeTold();
	news.handleNews();
	t.deepEqual(takeTold(), [['failed', error], ['succeeded']]);
});

test('a database is reported from 1 GiB on, then only when it has doubled; and its size is in the figures', t => {
	const {health, committer} = setUp();
	const reported = [1024 * MIB - 1, 1024 * MIB, 2047 * MIB, 2048 * MIB].map(databaseBytes => health({databaseBytes, freeBytes: 5}));
	t.deepEqual(
		reported.flat(),
		[1024, 2048].map(size => ['publish', {type: 'databaseGrown', databaseBytes: size * MIB, freeBytes: 5, logBytes: 0}]),
	);
	t.deepEqual(committer.statistics, {storage: {databaseBytes: 2048 * MIB, freeBytes: 5, logBytes: 0}});
});

test('a log is reported from 64 MiB on, then only when it has doubled; and anew once it has been smaller', t => {
	const {health} = setUp();
	const reported = [64 * MIB - 1, 64 * MIB, 65 * MIB, 128 * MIB - 1, 130 * MIB, 200 * MIB, 260 * MIB, 64 * MIB, 10, 64 * MIB].map(logBytes =>
		health({logBytes}),
	);
	t.deepEqual(
		reported.flat(),
		[64, 130, 260, 64].map(size => ['publish', {type: 'logGrown', logBytes: size * MIB}]),
	);
	t.deepEqual(
		reported.map(each => each.length),
		[0, 1, 0, 0, 1, 0, 1, 0, 0, 1],
	);
});

test('a second library is reported once for each time that it opens the database', t => {
	const {health} = setUp();
	const secondLibrary = {libraries: ['a.so', 'b.so'], message: 'Two of them.'};
	t.deepEqual(
		[health({secondLibrary}), health({secondLibrary}), health({}), health({secondLibrary})],
		[[['publish', {type: 'secondLibrary', ...secondLibrary}]], [], [], [['publish', {type: 'secondLibrary', ...secondLibrary}]]],
	);
});

test('that notifications are missing is reported once for each time', t => {
	const {health} = setUp();
	const missing = {hasNoNotifications: true} as const;
	t.deepEqual(
		[health(missing), health(missing), health({}), health(missing)],
		[[['publish', {type: 'notificationsMissing'}]], [], [], [['publish', {type: 'notificationsMissing'}]]],
	);
});

test('after the end no news is passed on, and the store waits for none', async t => {
	const {news, takeTold, tell} = setUp();
	const done = tell({type: 'changed', stop: []});
	takeTold();
	news.stop();
	await done;
	t.deepEqual(takeTold(), [['unlisten']]);
	news.handleNews();
	t.deepEqual(takeTold(), []);
});

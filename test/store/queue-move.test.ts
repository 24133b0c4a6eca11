import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {env} from 'node:process';
import test from 'ava';
import type pg from 'pg';
import {kindOf} from '../../lib/store/kinds.ts';
import {openStore} from '../../lib/store/open-store.ts';
import {locationOf, postgresParts} from '../../lib/store/postgres-url.ts';
import {moveQueue} from '../../lib/store/queue-move.ts';
import {tellSeed} from '../fixtures/again.ts';
import {openPool, PostgresServer} from '../fixtures/postgres-server.ts';
import {SEED} from '../fixtures/random.ts';
import {PoolWithoutGaps} from '../fixtures/watched-pool.ts';
import {checkModel, type Subject, timeoutFor} from '../property/store-model.ts';
import type {StoreOptions} from './contract.ts';

/** A sequence of commands moves the queue again and again, which takes three times as long as one that does not. */
const asked = Number(env['FAENA_RUNS'] ?? 30);
const runs = Math.ceil(asked / 3);

const folder = mkdtempSync(join(tmpdir(), 'faena-move-'));
let server: PostgresServer;
let shared: pg.Pool;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
	shared = openPool({connectionString: server.url, max: 3});
});

test.after.always(async () => {
	await shared?.end();
	await server?.stop();
	rmSync(folder, {recursive: true, force: true});
});

let places = 0;
const file = () => join(folder, `${places++}.db`);
const schema = () => locationOf(server.url, `q${places++}`);

/** Each time that the queue is opened again, it has moved. */
function moving(route: readonly (() => string)[]): (options: StoreOptions) => Subject {
	return options => {
		let opened = 0;
		let location: string | undefined;
		let pool: PoolWithoutGaps | undefined;
		return {
			async open() {
				const next = route[opened++ % route.length]?.() as string;
				if (location !== undefined) await moveQueue(location, next);
				location = next;
				pool = kindOf(next).noun === 'URL' ? new PoolWithoutGaps(shared, postgresParts(next).schema) : undefined;
				if (!pool) return openStore(next, {...options, durability: 'normal', blobThresholdBytes: 12});
				const store = await openStore(next, {...options, pool});
				await store.counts();
				return store;
			},
			nextTurn: () => (pool ? pool.nextTurn() : new Promise(resolve => setImmediate(resolve))),
		};
	};
}

for (const [name, route] of Object.entries({'a file and PostgreSQL': [file, schema], files: [file, file]}))
	test(`a queue that moves between ${name} answers as the model does, through any sequence of commands`, async t => {
		t.timeout(timeoutFor(runs));
		tellSeed(t, {FAENA_RUNS: asked});
		await checkModel(moving(route), {seed: SEED, runs, endOnFailure: true});
		t.pass();
	});

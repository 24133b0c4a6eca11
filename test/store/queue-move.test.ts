import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {env} from 'node:process';
import test from 'ava';
import {openStore} from '../../lib/store/open-store.ts';
import {moveQueue} from '../../lib/store/queue-move.ts';
import {locationOf} from '../../lib/store/queue-path.ts';
import {checkModel, type Subject, timeoutFor} from '../property/store-model.ts';
import {tellSeed} from '../fixtures/again.ts';
import {PostgresServer} from '../fixtures/postgres-server.ts';
import {SEED} from '../fixtures/random.ts';
import type {StoreOptions} from './contract.ts';

/** The number of sequences of commands. */
const runs = Number(env['FAENA_RUNS'] ?? 20);

const folder = mkdtempSync(join(tmpdir(), 'faena-move-'));
let server: PostgresServer;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
});

test.after.always(async () => {
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
		return {
			async open() {
				const next = route[opened++ % route.length]?.() as string;
				if (location !== undefined) await moveQueue(location, next);
				location = next;
				return openStore(next, {...options, durability: 'normal', blobThresholdBytes: 12});
			},
		};
	};
}

for (const [name, route] of Object.entries({'a file and PostgreSQL': [file, schema], files: [file, file]}))
	test(`a queue that moves between ${name} answers as the model does, through any sequence of commands`, async t => {
		t.timeout(timeoutFor(runs));
		tellSeed(t, {FAENA_RUNS: runs});
		await checkModel(moving(route), {seed: SEED, runs});
		t.pass();
	});

/**
 * `program URL SLOT.NUMBER SEED LEASE`: uses an engine in several ways at once, as chance has it, until it is killed; says what it was told, a line of
 * JSON each.
 */
import {writeSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import pg from 'pg';
import {enqueueIn, FaenaError, open} from '../../../lib/index.ts';
import {between, seeded} from '../../fixtures/random.ts';

const [queue = '', name = '', seed = '0', lease = '30s'] = process.argv.slice(2);
const [slot = ''] = name.split('.');
const random = seeded(Number(seed));

const say = (what: object) => void writeSync(1, `${JSON.stringify(what)}\n`);

const ignore = () => undefined;
/** A server that is away when a program opens is an error of that program. Then it begins again, as any program that is started again. */
async function openEngine() {
	for (;;) {
		try {
			return await open<typeof import('./tasks.ts')>({
				queue,
				tasks: new URL('./tasks.ts', import.meta.url),
				workers: 2,
				lease: lease as '30s',
				logger: {debug: ignore, info: ignore, warn: ignore, error: ignore},
				defaults: {backoff: {base: 2, factor: 2, max: 20, jitter: 0.5}},
			});
		} catch (error) {
			if ((error as FaenaError).code !== 'Unreachable') throw error;
			await sleep(100);
		}
	}
}

const faena = await openEngine();
say({what: 'opened'});

/** More jobs would only take longer to run. */
const MAX_PENDING = 3000;

let tokens = 0;
const makeToken = () => `${name}.${++tokens}`;
const makePayload = () => ({token: makeToken(), ms: random() < 0.01 ? between(random, 1, 20) : 0, fails: random() < 0.02 ? between(random, 1, 2) : 0});

/** Enqueues groups of some jobs, of which each second one has keys. */
async function enqueue(): Promise<void> {
	if ((await faena.counts({task: 'echo'})).pending > MAX_PENDING) return sleep(100);
	const payloads = Array.from({length: random() < 0.05 ? 2500 : between(random, 1, 30)}, makePayload);
	const hasKeys = random() < 0.5;
	say({what: 'try', tokens: payloads.map(({token}) => token)});
	const {ids} = await faena.enqueueMany('echo', payloads, hasKeys ? {key: ({token}) => token} : {});
	say({what: 'enqueued', ids, tokens: payloads.map(({token}) => token)});
}

async function call(): Promise<void> {
	const payload = makePayload();
	say({what: 'try', tokens: [payload.token]});
	const result = await faena.call('echo', payload);
	say({what: 'called', token: payload.token, result});
}

/** Jobs that wait for others, and those that a job enqueues. */
async function wait(): Promise<void> {
	const parents = Array.from({length: between(random, 1, 5)}, makePayload);
	const child = makeToken();
	const spread = {token: makeToken(), parents: [makeToken(), makeToken(), makeToken()], child: makeToken()};
	const tokens = [...parents.map(({token}) => token), child, spread.token];
	say({what: 'try', tokens: [...tokens, ...spread.parents, spread.child]});
	const {ids} = await faena.enqueueMany('echo', parents);
	const {id} = await faena.enqueue('join', {token: child, results: parents.map(({token}) => `${token}#`)}, {dependsOn: ids});
	const {id: spreadId} = await faena.enqueue('spread', spread);
	say({what: 'enqueued', ids: [...ids, id, spreadId], tokens});
}

/** Jobs of this program's own transactions. */
async function transact(): Promise<void> {
	const payloads = Array.from({length: between(random, 1, 5)}, makePayload);
	const tokens = payloads.map(({token}) => token);
	const client = new pg.Client(queue);
	client.on('error', ignore);
	try {
		await client.connect();
		await client.query('begin');
		const ids: number[] = [];
		for (const payload of payloads)
			ids.push((await enqueueIn<typeof import('./tasks.ts')>(client, 'echo', payload, random() < 0.5 ? {key: payload.token} : {})).id);
		await sleep(between(random, 0, 50));
		const commits = random() < 0.7;
		if (commits) say({what: 'try', tokens});
		await client.query(commits ? 'commit' : 'rollback');
		if (commits) say({what: 'enqueued', ids, tokens});
	} catch (error) {
		// What the driver throws when the server or the connection is gone.
		if (error instanceof FaenaError) throw error;
	} finally {
		await client.end().catch(ignore);
	}
}

let batch = 0;

/** Goes on with the maps of this slot, whoever has begun them. */
async function map(): Promise<void> {
	const own = `map ${slot}.${batch}`;
	const payloads = Array.from({length: 200}, (_, index) => ({token: `${own}/${index}`, ms: 0, fails: index % 40 === 0 ? 1 : 0}));
	say({what: 'try', tokens: payloads.map(({token}) => token)});
	const results = new Map<string, unknown>();
	for await (const item of faena.map('echo', payloads, {batch: own, key: ({token}) => token}))
		results.set(item.key, item.status === 'completed' ? item.result : item.status);
	say({what: 'mapped', batch: own, results: [...results]});
	batch++;
}

async function steer(): Promise<void> {
	if (random() < 0.5) await faena.pause('other');
	else await faena.resume('other');
	await faena.counts();
}

/** What is refused because the server is away, or whose outcome is unknown, is tried another time. */
async function again(act: () => Promise<void>): Promise<void> {
	for (;;) {
		await act().catch((error: {readonly code?: string; readonly message: string}) => {
			if (!['Unreachable', 'OutcomeUnknown', 'DatabaseBusy', 'BatchInUse', 'KeyConflict'].includes(error.code ?? ''))
				say({what: 'failed', code: error.code, message: error.message});
		});
	}
}

await Promise.all([enqueue, call, map, steer, wait, transact].map(again));

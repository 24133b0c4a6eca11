import {availableParallelism} from 'node:os';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import autocannon from 'autocannon';
import anyTest, {type ExecutionContext} from 'ava';
import {openQueue} from '../../lib/queue.ts';
import {Folder, type Program} from '../cli/command.ts';

const test = anyTest.serial;

/** As many connections as a browser page of a busy site has visitors, and jobs of some milliseconds: the queue is full within a second. */
const CONNECTIONS = 60;
const BELOW = 400_000;
const DISTINCT = 500;

/** The number of primes below each number, to compare with. */
const primes = (() => {
	const isComposite = new Uint8Array(BELOW + DISTINCT);
	const counts = new Uint32Array(BELOW + DISTINCT + 1);
	for (let n = 2; n < isComposite.length; n++) {
		counts[n + 1] = (counts[n] as number) + (isComposite[n] ? 0 : 1);
		if (!isComposite[n]) for (let multiple = n * n; multiple < isComposite.length; multiple += n) isComposite[multiple] = 1;
	}
	return counts;
})();

interface Sent {
	readonly below: number;
	status?: number;
	id?: number;
	retryAfter?: string | undefined;
}

class Server {
	readonly program: Program;
	readonly url: string;

	constructor(program: Program, port: number) {
		this.program = program;
		this.url = `http://localhost:${port}`;
	}

	static async start(folder: Folder, name: string): Promise<Server> {
		const program = folder.run(fileURLToPath(new URL(`../../examples/http-server/${name}.ts`, import.meta.url)));
		const [line = ''] = await program.firstLines(1);
		return new Server(program, (JSON.parse(line.replace('listening ', '')) as {port: number}).port);
	}

	async post(
		body: unknown,
		key?: string,
	): Promise<{readonly status: number; readonly headers: Headers; readonly body: {id: number; code?: string; error?: string}}> {
		const headers = {'content-type': 'application/json', ...(key !== undefined && {'idempotency-key': key})};
		const response = await fetch(`${this.url}/jobs`, {method: 'POST', headers, body: typeof body === 'string' ? body : JSON.stringify(body)});
		return {status: response.status, headers: response.headers, body: (await response.json()) as never};
	}

	async get(path: string, options: RequestInit = {}): Promise<{readonly status: number; readonly body: Record<string, unknown>}> {
		const response = await fetch(`${this.url}${path}`, options);
		return {status: response.status, body: (await response.json()) as Record<string, unknown>};
	}
}

/** Sends requests with keys of their own until it is stopped, and keeps each answer. */
function load(url: string): {readonly sent: ReadonlyMap<string, Sent>; stop(): Promise<void>} {
	const sent = new Map<string, Sent>();
	const ended = Promise.withResolvers<void>();
	const setupRequest: NonNullable<autocannon.Request['setupRequest']> = (request, context) => {
		const key = `k${sent.size}`;
		const below = BELOW + (sent.size % DISTINCT);
		sent.set(key, {below});
		Object.assign(context, {key});
		return {...request, body: JSON.stringify({below}), headers: {'content-type': 'application/json', 'idempotency-key': key}};
	};
	const onResponse = (status: number, body: string, context: object, headers: Record<string, string>) => {
		const answer = sent.get((context as {key: string}).key) as Sent;
		Object.assign(answer, {status, id: (JSON.parse(body) as {id?: number}).id, retryAfter: headers['retry-after'] ?? headers['Retry-After']});
	};
	const instance = autocannon(
		{url, connections: CONNECTIONS, duration: 120, requests: [{method: 'POST', path: '/jobs', setupRequest, onResponse: onResponse as never}]},
		() => ended.resolve(),
	);
	const stop = () => {
		instance.stop?.();
		return ended.promise;
	};
	return {sent, stop};
}

for (const name of ['main', 'fastify']) {
	test(`${name}.ts: under load and a SIGTERM, each accepted request becomes one job with the right result, and each refused one none`, async t => {
		t.timeout(180_000);
		const folder = new Folder(t);
		const server = await Server.start(folder, name);
		const {sent, stop} = load(server.url);
		while ([...sent.values()].every(({status}) => status !== 429)) await sleep(20);
		await sleep(1500);
		server.program.child.kill('SIGTERM');
		const {code, stderr} = await server.program.end();
		t.deepEqual([code, stderr], [0, '']);
		await stop();

		const answered = [...sent].filter(([, {status}]) => status !== undefined);
		const accepted = answered.filter(([, {status}]) => status === 202);
		const refused = answered.filter(([, {status}]) => status === 429);
		const others = answered.filter(([, {status}]) => status !== 202 && status !== 429);
		// While it closes, Fastify answers so.
		t.deepEqual([...new Set(others.map(([, {status}]) => status))], others.length > 0 ? [503] : []);
		t.true(accepted.length > 500 && refused.length > 100, `${accepted.length} accepted, ${refused.length} refused`);
		t.true(refused.every(([, {retryAfter}]) => Number(retryAfter) >= 1 && Number.isInteger(Number(retryAfter))));

		const next = await Server.start(folder, name);
		await Promise.all(
			accepted.slice(0, 20).map(async ([key, {below, id}]) => {
				t.like(await next.post({below}, key), {status: 202, body: {id}});
			}),
		);
		for (const [, {below, id}] of accepted)
			t.deepEqual(await next.get(`/jobs/${id}?wait=60`), {status: 200, body: {id, status: 'completed', result: primes[below]}});
		next.program.child.kill('SIGTERM');
		t.is((await next.program.end()).code, 0);
		await assertOneJobEach(t, folder, sent);
	});

	test(`${name}.ts: bad requests, keys, waits`, async t => {
		t.timeout(60_000);
		const server = await Server.start(new Folder(t), name);
		const long = await server.post({below: 100_000_000}, 'long');
		t.like(long, {status: 202, body: {id: 1}});
		t.is(long.headers.get('location'), '/jobs/1');
		t.like(await server.post({below: 100_000_000}, 'long'), {status: 202, body: {id: 1}});
		t.like(await server.post({below: 5}, 'long'), {status: 409, body: {code: 'KeyConflict'}});
		for (const bad of ['{', '', '[]', '5', 'null', '{"below":"many"}', '{"below":1}', '{"below":1e9}']) t.is((await server.post(bad)).status, 400, bad);
		t.is((await server.post({below: 100, more: 'x'.repeat(100_000)})).status, 413);
		for (const path of ['/jobs/99', '/jobs/99?wait=5', '/jobs/x', '/elsewhere']) t.is((await server.get(path)).status, 404, path);
		t.is((await server.get('/jobs/99999999999999999999')).status, 400);
		t.is((await server.get('//')).status, 404);
		const state = await server.get('/jobs/1?wait=0.05');
		t.true(state.status === 200 && ['pending', 'running'].includes(state.body['status'] as string), JSON.stringify(state));
		const waiting = server.get('/jobs/1?wait=60');
		await sleep(50);
		server.program.child.kill('SIGTERM');
		t.is((await waiting).status, 200);
		t.is((await server.program.end()).code, 0);
	});
}

for (const name of ['main', 'fastify']) {
	test(`${name}.ts: a job shows its progress, gets another priority until it starts, and is cancelled`, async t => {
		t.timeout(60_000);
		const server = await Server.start(new Folder(t), name);
		// Far more than there are workers, and at once, so that the last one waits while the first one runs.
		const posts = Array.from({length: availableParallelism() + 40}, () => server.post({below: 100_000_000}));
		const ids = (await Promise.all(posts)).map(({body}) => body.id).sort((a, b) => a - b);
		const [first = 0, last = 0] = [ids[0], ids.at(-1)];
		const patch = (id: number, body: unknown) =>
			server.get(`/jobs/${id}`, {method: 'PATCH', headers: {'content-type': 'application/json'}, body: JSON.stringify(body)});
		const remove = (id: number) => server.get(`/jobs/${id}`, {method: 'DELETE'});

		let state = await server.get(`/jobs/${first}`);
		while (!state.body['progress']) state = await server.get(`/jobs/${first}?wait=0.02`);
		t.like(state, {status: 200, body: {status: 'running', progress: {total: 100_000_000}}});
		t.like(await patch(first, {priority: 5}), {status: 409, body: {error: `Job ${first} runs, or has ended.`}});
		// A higher one would start it as soon as a worker is free.
		t.like(await patch(last, {priority: -5}), {status: 200, body: {id: last, status: 'pending'}});
		t.is((await patch(last, {priority: 'high'})).status, 400);
		t.is((await patch(last, {priority: 1e12})).status, 400);
		t.is((await patch(99, {priority: 5})).status, 404);

		t.like(await remove(last), {status: 200, body: {id: last, status: 'cancelled'}});
		t.is((await remove(first)).status, 200);
		t.like(await server.get(`/jobs/${first}?wait=20`), {status: 200, body: {id: first, status: 'cancelled'}});
		t.is((await remove(99)).status, 404);
		for (const id of ids) await remove(id);
		server.program.child.kill('SIGTERM');
		t.like(await server.program.end(), {code: 0, stderr: ''});
	});
}

async function assertOneJobEach(t: ExecutionContext, folder: Folder, sent: ReadonlyMap<string, Sent>): Promise<void> {
	const queue = await openQueue(join(folder.path, 'http.db'));
	const jobs = await queue.jobs().page({limit: 100_000});
	await queue.close();
	const ids = new Map(jobs.map(({key, id}) => [key, id]));
	t.is(ids.size, jobs.length);
	for (const [key, {status, id}] of sent) {
		if (status === 202) t.is(ids.get(key), id);
		// A request without an answer may have become a job, or not.
		else if (status !== undefined) t.false(ids.has(key), `${status}`);
	}
}

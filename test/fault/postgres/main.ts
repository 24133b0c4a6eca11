/**
 * `npm run torture:postgres -- --seconds 60 --seed 1 [--slots 3]`: engines in programs of their own on one PostgreSQL server. They are killed, or suspended
 * for longer than their lease; connections are ended, and the server crashes and comes back. In the end all must be as it was promised.
 */
import {type ChildProcess, spawn} from 'node:child_process';
import {once} from 'node:events';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import pg from 'pg';
import {open} from '../../../lib/index.ts';
import {openQueue} from '../../../lib/queue.ts';
import {PostgresServer} from '../../fixtures/postgres-server.ts';
import {between, seeded} from '../../fixtures/random.ts';
import {brokenLaws} from '../postgres-laws.ts';

const {values} = parseArgs({
	options: {seconds: {type: 'string', default: '60'}, seed: {type: 'string', default: String(Date.now() % 2 ** 31)}, slots: {type: 'string', default: '3'}},
});
const random = seeded(Number(values.seed));
const PROGRAM = fileURLToPath(new URL('./program.ts', import.meta.url));
const LEASE_MS = 1500;

type Told = Readonly<Record<string, unknown>> & {readonly what: string};

const told: Told[] = [];
const faults: Record<string, number> = {kill: 0, suspend: 0, terminate: 0, crash: 0};
const server = await PostgresServer.start();
const until = performance.now() + Number(values.seconds) * 1000;
const running = new Set<ChildProcess>();

async function slot(number: number): Promise<void> {
	for (let life = 0; performance.now() < until; life++) {
		const child = spawn(process.execPath, [PROGRAM, server.url, `${number}.${life}`, `${between(random, 0, 2 ** 31)}`, `${LEASE_MS}ms`], {
			stdio: ['ignore', 'pipe', 'inherit'],
		});
		running.add(child);
		let rest = '';
		child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
			const lines = (rest + chunk).split('\n');
			rest = lines.pop() as string;
			for (const line of lines) told.push(JSON.parse(line) as Told);
		});
		const closed = once(child, 'close');
		await Promise.race([sleep(between(random, 500, 8000)), closed]);
		if (random() < 0.3) {
			child.kill('SIGSTOP');
			await sleep(2 * LEASE_MS);
			child.kill('SIGCONT');
			faults['suspend'] = (faults['suspend'] ?? 0) + 1;
			await sleep(between(random, 0, 1500));
		}
		faults['kill'] = (faults['kill'] ?? 0) + 1;
		child.kill('SIGKILL');
		await closed;
		running.delete(child);
	}
}

async function disturb(): Promise<void> {
	while (performance.now() < until) {
		await sleep(between(random, 200, 2000));
		if (random() < 0.1) {
			await server.crash();
			faults['crash'] = (faults['crash'] ?? 0) + 1;
			continue;
		}
		const client = new pg.Client(server.url);
		client.on('error', () => {});
		await client.connect();
		await client.query('select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = $1 order by random() limit 2', [
			'client backend',
		]);
		await client.end();
		faults['terminate'] = (faults['terminate'] ?? 0) + 1;
	}
}

process.on('exit', () => {
	for (const child of running) child.kill('SIGKILL');
});
await Promise.all([...Array.from({length: Number(values.slots)}, (_, number) => slot(number)), disturb()]);

const faena = await open({queue: server.url, tasks: new URL('./tasks.ts', import.meta.url), lease: LEASE_MS});
await sleep(2 * LEASE_MS);
await faena.idle();
await faena.close();

const broken: string[] = [];
const note = (law: string, evidence: readonly unknown[]) => {
	if (evidence.length > 0) broken.push(`${law}: ${JSON.stringify(evidence.slice(0, 3))}`);
};
const queue = await openQueue(server.url);
const jobs = new Map<number, {readonly token: string; readonly status: string; readonly result: unknown}>();
for (let after: number | undefined; ; ) {
	const page = await queue.store.jobs({}, {limit: 2000, ...(after !== undefined && {after})}, {values: true});
	for (const {id, status, values} of page.jobs) {
		const {token} = JSON.parse(values?.payload as string) as {readonly token: string};
		jobs.set(id, {token, status, result: typeof values?.result === 'string' ? JSON.parse(values.result) : undefined});
	}
	if (page.next === null) break;
	after = page.next as number;
}
await queue.close();
const all = [...jobs];
const tried = new Set(told.flatMap(({what, tokens}) => (what === 'try' ? (tokens as string[]) : [])));
const enqueued = told.filter(({what}) => what === 'enqueued') as unknown as readonly {readonly ids: number[]; readonly tokens: string[]}[];
note(
	'an acknowledged job is there',
	enqueued.flatMap(({ids, tokens}) => ids.filter((id, index) => jobs.get(id)?.token !== tokens[index])),
);
note(
	'every job was enqueued',
	all.filter(([, {token}]) => !tried.has(token)),
);
note(
	'no job is there twice',
	[...Map.groupBy(all, ([, {token}]) => token)].filter(([, same]) => same.length > 1),
);
note(
	'every job completes, with its result',
	all.filter(([, {token, status, result}]) => status !== 'completed' || result !== `${token}#`),
);
note(
	'a call returns the result',
	told.filter(({what, token, result}) => what === 'called' && result !== `${token}#`),
);
note(
	'a map returns each result once',
	told.filter(
		({what, results}) =>
			what === 'mapped' && ((results as [string, string][]).length !== 200 || (results as [string, string][]).some(([key, result]) => result !== `${key}#`)),
	),
);
note(
	'nothing else fails',
	told.filter(({what}) => what === 'failed'),
);
const client = new pg.Client(server.url);
await client.connect();
broken.push(...(await brokenLaws(client)));
await client.end();
await server.stop();
const acknowledged = enqueued.reduce((sum, {ids}) => sum + ids.length, 0);
console.log(
	JSON.stringify({seed: Number(values.seed), ...faults, jobs: jobs.size, acknowledged, maps: told.filter(({what}) => what === 'mapped').length, broken}),
);
if (broken.length > 0) process.exitCode = 1;

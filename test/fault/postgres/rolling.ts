/**
 * `npm run rolling-deploy -- [--seconds 10]`: an engine of this Faena and a client that knows only SQL work on a queue, as an engine of the next version comes,
 * which adds a column and exchanges functions; that one is killed and comes back; and the old one goes. No job is lost or runs twice, no call fails.
 */
import {type ChildProcess, spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import pg from 'pg';
import {makeNextVersion, NEXT_RELEASE} from '../../fixtures/next-version.ts';
import {PostgresServer} from '../../fixtures/postgres-server.ts';
import {brokenLaws} from '../postgres-laws.ts';

const {values} = parseArgs({options: {seconds: {type: 'string', default: '10'}}});
const STEP_MS = (Number(values.seconds) * 1000) / 4;
const PROGRAM = fileURLToPath(new URL('../../fixtures/programs/engine-of.ts', import.meta.url));
const THIS = fileURLToPath(new URL('../../../', import.meta.url));

const folder = mkdtempSync(join(tmpdir(), 'faena-rolling-'));
const children: ChildProcess[] = [];
process.on('exit', () => {
	for (const child of children) child.kill('SIGKILL');
	rmSync(folder, {recursive: true, force: true});
});
const broken: string[] = [];
const server = await PostgresServer.start();

/** An engine. */
interface Engine {
	readonly child: ChildProcess;
	readonly opened: Promise<unknown>;
	/** Ends it. Resolves with the number of jobs that it has enqueued. */
	readonly end: () => Promise<number>;
}

function start(from: string, name: string): Engine {
	const child = spawn(process.execPath, [PROGRAM, from, server.url, name], {stdio: ['pipe', 'pipe', 'inherit']});
	children.push(child);
	let enqueued = 0;
	const lines = createInterface({input: child.stdout as NodeJS.ReadableStream});
	const opened = new Promise(resolve => {
		lines.on('line', line => {
			const said = JSON.parse(line) as {readonly failed?: string; readonly enqueued?: number};
			if (said.failed !== undefined) broken.push(`${name}: ${said.failed}`);
			enqueued = said.enqueued ?? 0;
			resolve(said);
		});
	});
	const end = async () => {
		const closed = once(child, 'close');
		child.stdin?.end();
		await closed;
		return enqueued;
	};
	return {child, opened, end};
}

/** A program in another language: it knows the face alone. */
async function enqueueBySql(isOver: () => boolean): Promise<number> {
	const client = new pg.Client(server.url);
	client.on('error', () => {});
	await client.connect();
	let number = 0;
	for (; !isOver(); number++) {
		await client.query('begin');
		await client.query(`select * from faena.enqueue('echo', to_jsonb($1::integer), jsonb_build_object('key', 'sql ' || $1::integer))`, [number]);
		await client.query('commit');
		await client.query('select * from faena.counts');
		await client.query('select id, status, key, attempts from faena.jobs order by id desc limit 5');
		await client.query('select * from faena.batches');
	}
	await client.end();
	return number;
}

const client = new pg.Client(server.url);
await client.connect();
const one = async (query: string): Promise<number> => Number(Object.values((await client.query(query)).rows[0])[0]);

const old = start(THIS, 'old');
await old.opened;
let isOver = false;
const bySql = enqueueBySql(() => isOver).catch(error => {
	broken.push(`SQL: ${error}`);
	return 0;
});
await sleep(STEP_MS);
const next = makeNextVersion(join(folder, 'next'));
const killed = start(next, 'killed');
await killed.opened;
const upgradedAt = await one('select coalesce(max(last), 0) from faena.job');
await sleep(STEP_MS);
killed.child.kill('SIGKILL');
const newer = start(next, 'new');
await newer.opened;
await sleep(STEP_MS);
const ofOld = await old.end();
const goneAt = await one('select coalesce(max(last), 0) from faena.job');
await sleep(STEP_MS);
isOver = true;
const ofSql = await bySql;
const ofNew = await newer.end();
// The rest, such as what the killed engine has left.
const last = start(next, 'last');
await last.opened;
for (const until = performance.now() + 30_000; performance.now() < until && (await one('select pending + running + failed from faena.counts')) > 0; )
	await sleep(100);
await last.end();

const rows = (condition: string) => one(`select coalesce(sum(last - first + 1), 0) from faena.job where ${condition}`);
const figures = {
	...{enqueuedByOld: ofOld, enqueuedByNew: ofNew, enqueuedBySql: ofSql},
	jobs: await rows('true'),
	ofOldAfterTheUpgrade: await rows(`first > ${upgradedAt} and last <= ${goneAt} and made_by is null`),
	ofNew: await rows(`made_by = '${NEXT_RELEASE}'`),
	dead: await one('select coalesce(sum(dead + cancelled), 0) from faena.counts'),
	version: await one('select number from faena.version'),
	sets: await one('select count(*) from faena.function_set'),
};
for (const [name, number] of Object.entries(figures)) if (name !== 'dead' && number === 0) broken.push(`there are no ${name}`);
if (figures.version !== 2 || figures.sets !== 2 || figures.dead > 0) broken.push('the queue was upgraded, and no job died');
for (const [name, number] of [
	['old', ofOld],
	['new', ofNew],
	['sql', ofSql],
] as const) {
	const found = await one(`select count(*) from faena.jobs where status = 'completed' and attempts = 0 and key like '${name} %'`);
	if (found !== number) broken.push(`${number} jobs of ${name} have completed: ${found}`);
}
if ((await one('select count(*) from faena.jobs where status <> $$completed$$')) > 0) broken.push('all jobs have completed');
broken.push(...(await brokenLaws(client)));
await client.end();
await server.stop();
console.log(JSON.stringify({...figures, broken}));
process.exit(broken.length > 0 ? 1 : 0);

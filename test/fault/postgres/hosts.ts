/**
 * `npm run test:hosts -- [--jobs 50000]`: one host with PostgreSQL and three with workers, each a network namespace with an address of its own. In the middle
 * of the jobs one link drops 5 % of its packets, and another one is down for longer than the lease. It needs Linux, root, `ip` and `nft`.
 */
import {type ChildProcess, execFileSync, spawn} from 'node:child_process';
import {once} from 'node:events';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import pg from 'pg';
import {PostgresServer} from '../../fixtures/postgres-server.ts';
import {brokenLaws} from '../postgres-laws.ts';

const {values} = parseArgs({options: {jobs: {type: 'string', default: '50000'}, seed: {type: 'string'}}});
const JOBS = Number(values.jobs);
const LEASE_MS = 3000;
const WORKERS = [1, 2, 3];
const SERVER = '10.97.0.254';
const name = (worker: number) => `faena-${process.pid % 10_000}-${worker}`;
const BRIDGE = `fb${process.pid % 10_000}`;

/** Not by its name: npm puts the command of a package of that name first, which traces files of Node.js. */
const NFT = '/usr/sbin/nft';

const run = (command: string, ...words: readonly string[]) => execFileSync(command, words, {stdio: ['ignore', 'pipe', 'pipe']});

/** A bridge, which is the server's host, and a namespace with a link to it for each worker. */
function makeHosts(): void {
	run('ip', 'link', 'add', BRIDGE, 'type', 'bridge');
	run('ip', 'addr', 'add', `${SERVER}/24`, 'dev', BRIDGE);
	run('ip', 'link', 'set', BRIDGE, 'up');
	for (const worker of WORKERS) {
		const [host, outside] = [name(worker), `${BRIDGE}v${worker}`];
		run('ip', 'netns', 'add', host);
		run('ip', 'link', 'add', outside, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', host);
		run('ip', 'link', 'set', outside, 'master', BRIDGE, 'up');
		run('ip', '-n', host, 'addr', 'add', `10.97.0.${worker}/24`, 'dev', 'eth0');
		run('ip', '-n', host, 'link', 'set', 'eth0', 'up');
		run('ip', '-n', host, 'link', 'set', 'lo', 'up');
	}
}

function removeHosts(): void {
	for (const worker of WORKERS) {
		try {
			run('ip', 'netns', 'del', name(worker));
		} catch {
			// It was not made.
		}
	}
	try {
		run('ip', 'link', 'del', BRIDGE);
	} catch {
		// It was not made.
	}
}

try {
	makeHosts();
	run('ip', 'netns', 'exec', name(1), NFT, 'list', 'ruleset');
} catch (error) {
	removeHosts();
	console.log(`Not run: this machine does not allow network namespaces, or lacks ip or nft. ${(error as Error).message.split('\n')[1] ?? ''}`);
	process.exit(0);
}

const children: ChildProcess[] = [];
const server = await PostgresServer.start({fsync: 'off', listen_addresses: `127.0.0.1,${SERVER}`}, ['host all all 10.97.0.0/24 scram-sha-256']);
process.on('exit', () => {
	for (const child of children) child.kill('SIGKILL');
	removeHosts();
});

const url = Object.assign(new URL(server.url), {hostname: SERVER}).href;
const PROGRAM = fileURLToPath(new URL('./host-program.ts', import.meta.url));

function start(host: number | undefined, ...words: readonly string[]): ChildProcess {
	const node = [process.execPath, PROGRAM, host === undefined ? server.url : url, ...words];
	const [command = '', ...rest] = host === undefined ? node : ['ip', 'netns', 'exec', name(host), ...node];
	const child = spawn(command, rest, {stdio: ['ignore', 'pipe', 'inherit']});
	children.push(child);
	return child;
}

const workers = WORKERS.map(worker => start(worker, 'work', `${LEASE_MS}`));
const mapping = start(undefined, 'map', `${JOBS}`);
let output = '';
mapping.stdout?.setEncoding('utf8').on('data', text => (output += text));
const ended = once(mapping, 'close');
const client = new pg.Client(server.url);
await client.connect();
const completed = async () => Number((await client.query('select coalesce(sum(completed), 0) as n from faena.counts')).rows[0].n);
while ((await completed().catch(() => 0)) < JOBS / 10) await sleep(50);

run(
	'ip',
	'netns',
	'exec',
	name(1),
	NFT,
	'add table inet lossy; add chain inet lossy in { type filter hook input priority 0; }; add rule inet lossy in numgen random mod 100 < 5 drop',
);
if (!/random mod 100 < 5 drop/.test(`${run('ip', 'netns', 'exec', name(1), NFT, 'list', 'ruleset')}`))
	throw new Error('no packet of the first host is dropped');
run('ip', '-n', name(2), 'link', 'set', 'eth0', 'down');
const [before, downAt] = [await completed(), performance.now()];
await sleep(2 * LEASE_MS);
const meanwhile = (await completed()) - before;
run('ip', '-n', name(2), 'link', 'set', 'eth0', 'up');
await ended;
const seconds = (performance.now() - downAt) / 1000;
await sleep(2 * LEASE_MS);
const counts = (await client.query('select pending, running, failed, dead, completed from faena.counts where task = $1', ['burn'])).rows[0];
const broken = await brokenLaws(client);
if (Number(counts.completed) !== JOBS || Number(counts.running) + Number(counts.pending) > 0) broken.push(`all jobs complete: ${JSON.stringify(counts)}`);
if (output.trim() !== `${JOBS} results, ${JOBS} of them distinct`) broken.push(`each result comes once: ${output}`);
await client.end();
for (const worker of workers) worker.kill('SIGKILL');
await server.stop();
console.log(JSON.stringify({jobs: JOBS, completedWhileTheLinkWasDown: meanwhile, secondsFromThenOn: Math.round(seconds), broken}));
process.exit(broken.length > 0 ? 1 : 0);

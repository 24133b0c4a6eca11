import {fileURLToPath} from 'node:url';
import anyTest from 'ava';
import {openQueue} from '../../lib/queue.ts';
import {Folder} from '../cli/command.ts';
import {PostgresServer} from '../fixtures/postgres-server.ts';

// It sets a variable of the environment.
const test = anyTest.serial;
const programOf = (name: string) => fileURLToPath(new URL(`../../examples/three-workers/${name}.ts`, import.meta.url));

let server: PostgresServer;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
	process.env['DATABASE_URL'] = server.url;
});

test.after.always(() => server?.stop());

test('three workers share a map: one is killed, one is stopped, and the map completes; again, it runs nothing', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const queue = await openQueue(server.url);
	t.teardown(() => queue.close());
	const workers = [1, 2, 3].map(() => folder.run(programOf('worker')));
	for (const worker of workers) await worker.printed(1);
	const [killed, stopped, last] = workers as [(typeof workers)[0], (typeof workers)[0], (typeof workers)[0]];
	const main = folder.run(programOf('main'), '600');
	while ((await queue.counts()).completed < 30);
	await killed.kill();
	stopped.child.kill('SIGTERM');
	t.is((await stopped.end()).code, 143);
	const first = await main.end();
	t.is(first.code, 0, first.stderr);
	// A sieve finds as many.
	t.is(first.stdout, '412849 primes below 6000000; 0 of 600 results are from an earlier run\n');
	last.child.kill('SIGTERM');
	await last.end();
	const again = await folder.run(programOf('main'), '600').end();
	t.is(again.stdout, '412849 primes below 6000000; 600 of 600 results are from an earlier run\n');
	t.like(await queue.counts(), {completed: 600, running: 0, dead: 0});
});

/** Pairs of the command line, with itself and with engines. */
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {type Ended, parse, tasks} from '../cli/command.ts';
import {brokenIn, type Case, isOnPostgres, pair} from './pair.ts';

const MODULE = 'traces-executions';
const ECHO = tasks(MODULE, 'echo');

const statuses = (items: readonly {readonly status: string}[]) => items.map(({status}) => status);

/** How often the tasks of {@link MODULE} and commands have noted this. */
const traced = (c: Case, line: string) =>
	readFileSync(c.path('trace'), 'utf8')
		.split('\n')
		.filter(each => each === line).length;

/** Ends with this code, and says why not otherwise. */
async function ends(c: Case, code: number, ...args: readonly string[]): Promise<Ended> {
	const ended = await c.faena(...args).end();
	c.t.is(ended.code, code, ended.stderr);
	return ended;
}

pair('faena cancel, retry, pause × engine that maps', 'the map of the engine sees what the command has done', async c => {
	const faena = await c.test();
	await faena.pause('echo');
	const map = faena.map('echo', [1, 2], {batch: 'b'}).toArray();
	await c.until(async () => (await faena.counts()).pending === 2);
	c.t.regex((await ends(c, 0, 'cancel', '--batch', 'b')).stdout, /^2 cancelled/);
	c.t.deepEqual(statuses(await map), ['cancelled', 'cancelled']);
	await ends(c, 0, 'retry', '--batch', 'b');
	await ends(c, 0, 'resume', 'echo');
	await faena.drain();
	c.t.like(await faena.counts(), {completed: 2});
});

pair('--sh × --halt × --joblog × --retry-failed', 'a halted run goes on, and the log has a line for each command that ran', async c => {
	const command = ['map', '--sh', 'test {} != 2 || test -e open', '-j', '1', '--joblog', 'log', '--batch', 'b'];
	const items = [':::', '1', '2', '3'];
	const first = await c.sh([...command, '--halt', 'now,fail=1', '--quiet'], items);
	c.t.is(first.code, 1, first.stderr);
	c.make('open');
	const second = await c.sh([...command, '--retry-failed', '--quiet'], items);
	c.t.is(second.code, 0, second.stderr);
	const lines = readFileSync(c.path('log'), 'utf8').trimEnd().split('\n').slice(1);
	c.t.true(lines.length >= 4);
});

pair('--ndjson × --key × --weight × --order × --delay', 'records are found again by their keys, and printed in the order of the input', async c => {
	const records = [1, 5, 3].map(id => JSON.stringify({id, bytes: id})).join('\n');
	const run = () => c.faena('map', ECHO, '--ndjson', '--key', 'id', '--weight', 'bytes', '--order', 'input', '--delay', '5ms', '-j', '1').end(records);
	const first = await run();
	c.t.is(first.code, 0, first.stderr);
	c.t.deepEqual(
		parse(first.stdout).map(({key}) => key),
		['1', '5', '3'],
	);
	c.t.true(parse((await run()).stdout).every(({reused}) => reused));
	c.t.is(traced(c, '{"id":1,"bytes":1}'), 1);
});

pair('faena work × faena enqueue × key × pause', 'a worker runs what others enqueue, once for each key, and nothing of a paused task', async c => {
	const work = c.faena('work', ECHO.split('#')[0] as string, '-j', '1');
	const faena = await c.test({only: ['got'], tasks: {}});
	await ends(c, 0, 'enqueue', 'echo', '"a"', '--key', 'k');
	await ends(c, 0, 'enqueue', 'echo', '"a"', '--key', 'k');
	await c.until(async () => (await faena.counts()).completed === 1);
	await ends(c, 0, 'pause', 'echo');
	await ends(c, 0, 'enqueue', 'echo', '"b"');
	await ends(c, 0, 'enqueue', 'compute', '"c"');
	await c.until(async () => (await faena.counts()).completed === 2);
	await ends(c, 0, 'resume', 'echo');
	await c.until(async () => (await faena.counts()).completed === 3);
	work.child.kill('SIGTERM');
	c.t.is((await work.end()).code, 143);
	c.t.deepEqual([traced(c, 'a'), traced(c, 'b'), traced(c, 'c')], [1, 1, 1]);
});

pair.failing('--sh × --blobs × delete', 'the files of large outputs go with their batch', 'Bounds', async c => {
	await c.sh(['map', '--sh', 'head -c 5000 /dev/zero | tr "\\0" {}', '--blobs', '1kib', '--batch', 'b'], [':::', 'x', 'y']);
	c.t.is(readdirSync(`${c.queue}-blobs`).length, 2);
	await ends(c, 0, 'delete', 'b');
	c.t.is(readdirSync(`${c.queue}-blobs`).length, 0);
});

pair(
	'--sh × --timeout × --retries × --isolation process × --json × --times',
	'a command that takes too long is dead after its attempts, and the others are told with their times',
	async c => {
		const ended = await c.sh(
			['map', '--sh', 'echo {} >> trace; sleep {}', '--timeout', '400ms', '--retries', '2', '--isolation', 'process', '--json', '--times'],
			[':::', '0', '77'],
		);
		c.t.is(ended.code, 1, ended.stderr);
		const lines = parse(ended.stdout);
		c.t.deepEqual(lines.map(({key, status}) => `${key} ${status}`).sort(), ['0 completed', '77 dead']);
		// A busy machine may not have begun the command by then: it is the attempts that count.
		c.t.like(
			lines.find(({status}) => status === 'dead'),
			{attempt: 2} as object,
		);
	},
);

pair('cleanup × resume of the same command', 'what was deleted runs again, and prints the same', async c => {
	const run = () => c.faena('map', ECHO, '--stdin', '--order', 'input').end('a\nb');
	const first = await run();
	await ends(c, 0, 'cleanup', '--older-than', '0s');
	const second = await run();
	const results = ({stdout}: Ended) => parse(stdout).map(({key, result}) => [key, result]);
	c.t.deepEqual(results(second), results(first));
	c.t.is(traced(c, 'a'), 2);
});

pair('-n × --sh × -k × --tag', 'several items to a command, in the order of the input, each line with its items', async c => {
	const {stdout, code, stderr} = await c.sh(['map', '--sh', 'echo {1}-{2}', '-n', '2', '-k', '--tag'], [':::', 'a', 'b', 'c', 'd']);
	c.t.is(code, 0, stderr);
	c.t.deepEqual(
		stdout
			.trimEnd()
			.split('\n')
			.map(line => line.split('\t').at(-1)),
		['a-b', 'c-d'],
	);
});

pair('globs × --fresh × --missing × --dry-run', 'a dry run tells what would run and changes nothing; then that runs', async c => {
	for (const name of ['a.txt', 'b.txt', 'c.txt']) c.make(name, name);
	const run = (...more: readonly string[]) => c.faena('map', ECHO, '*.txt', '--quiet', ...more).end();
	c.t.is((await run()).code, 0);
	c.make('a.txt', 'edited');
	const dry = await run('--dry-run');
	c.t.is(dry.code, 0, dry.stderr);
	c.t.is(traced(c, 'a.txt'), 1);
	c.t.is((await run()).code, 0);
	c.t.deepEqual(
		['a.txt', 'b.txt', 'c.txt'].map(name => traced(c, name)),
		[2, 1, 1],
	);
});

pair.sqlite('backup × flow that is unfinished', 'the copy goes on by itself, and the original too', async c => {
	const faena = await c.test();
	const flow = faena.newFlow('f');
	const last = flow.job('got', null, {dependsOn: [flow.job('hold', 'a')]});
	const run = await flow.enqueue();
	await c.until(() => c.times('hold a') === 1);
	await ends(c, 0, 'backup', join(c.folder, 'copy.db'));
	c.make('a');
	c.t.deepEqual(await run.result(last), ['a']);
	const copy = await c.test({queue: join(c.folder, 'copy.db')});
	// The claim of the original is not one in the copy.
	await c.until(async () => (await copy.counts()).completed === 2);
	await copy.close();
	c.t.deepEqual(brokenIn(join(c.folder, 'copy.db')), []);
});

pair('vacuum × cleanup × delete × engine that maps', 'what the commands delete is not of the batch whose map runs', async c => {
	const faena = await c.test({workers: 2});
	await faena.call('echo', 'old');
	const map = faena.map('hold', ['a', 'b'], {batch: 'b'}).toArray();
	c.make('a');
	await c.until(async () => (await faena.counts({batch: 'b'})).completed === 1);
	c.t.regex((await ends(c, 0, 'cleanup', '--older-than', '0s')).stdout, /^1 /);
	if (!isOnPostgres) await ends(c, 0, 'vacuum');
	c.t.not((await c.faena('delete', 'b').end()).code, 0);
	c.make('b');
	c.t.deepEqual(statuses(await map), ['completed', 'completed']);
});

pair('faena map --batch × map of an engine', 'an engine goes on with the batch of a command, and the command with that of the engine', async c => {
	const run = () => c.faena('map', ECHO, '--stdin', '--batch', 'b').end('x\ny');
	c.t.is((await run()).code, 0);
	const faena = await c.test();
	const items = await faena.map('echo', ['x', 'y', 'z'], {batch: 'b', key: String}).toArray();
	c.t.deepEqual(items.map(({key, reused}) => [key, reused]).sort(), [
		['x', true],
		['y', true],
		['z', false],
	]);
	const again = await run();
	c.t.is(again.code, 0, again.stderr);
	c.t.deepEqual([traced(c, 'x'), traced(c, 'y'), traced(c, 'z'), c.times('echo "z"')], [1, 1, 0, 1]);
});

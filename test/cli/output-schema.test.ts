/** Each `--json` has a schema, and the schemas that no other test of the command uses are checked here with real output. */
import {readFileSync} from 'node:fs';
import test from 'ava';
import {makeProgram} from '../../lib/cli/program.ts';
import {Folder, tasks} from './command.ts';
import {checkOutput, schemaOf} from './output-schema.ts';

const schema = JSON.parse(readFileSync(new URL('../../docs/output.schema.json', import.meta.url), 'utf8')) as {
	readonly $defs: Readonly<Record<string, unknown>>;
};

test('each command with --json has a schema', async t => {
	const program = await makeProgram([]);
	const names = program.commands.map(command => command.name());
	const withJson: string[] = [];
	for (const name of names) {
		const command = (await makeProgram([], name)).commands.find(each => each.name() === name);
		if (command?.options.some(({long}) => long === '--json')) withJson.push(schemaOf([name, '--json']) as string);
	}
	t.true(withJson.length > 10, withJson.join());
	t.deepEqual(
		withJson.filter(name => !(name in schema.$defs)),
		[],
	);
});

test('what a schema does not know is found: a field more, one less, another type', t => {
	const line = {key: 'a', jobId: 1, status: 'completed', result: 1};
	const check = (each: object) => () => checkOutput(['map', './tasks.ts#f', '--stdin'], `${JSON.stringify(each)}\n`);
	t.notThrows(check(line));
	for (const wrong of [
		{...line, more: 1},
		{...line, jobId: 'one'},
		{...line, status: 'failed'},
		{key: 'a', jobId: 1, status: 'completed'},
	])
		t.throws(check(wrong), {message: /docs\/output\.schema\.json does not allow/});
});

test('a flow, schedules, a dry run and a task that is measured print what their schemas say', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	folder.write(
		'flow.mjs',
		`import {open} from '${new URL('../../lib/index.ts', import.meta.url)}';
		await using faena = await open({queue: 'jobs.db'});
		const flow = faena.newFlow('f');
		flow.job('join', flow.map('part', [1, 2, 3]), {key: 'k'});
		await flow.enqueue();
		await faena.setSchedule('nightly', {cron: '0 2 * * *', timezone: 'UTC', task: 'part', payload: {a: 1}});
		await faena.setSchedule('often', {every: '1m', task: 'part'});`,
	);
	const made = await folder.run('flow.mjs').end();
	t.is(made.code, 0, made.stderr);
	for (const words of [['flow', 'f'], ['schedules'], ['schedule', 'nightly'], ['batches'], ['status'], ['schema'], ['doctor'], ['show', '4'], ['list']]) {
		const {code, stdout, stderr} = await folder.faena(...words, '--json', '--queue', 'jobs.db').end();
		t.true(code === 0 || words[0] === 'doctor', stderr);
		t.not(stdout, '');
	}
	const task = tasks('traces-executions', 'chat');
	t.not((await folder.faena('map', task, '--stdin', '--dry-run').end('one\ntwo\n')).stdout, '');
	t.not((await folder.faena('bench', '--task', task, '--stdin', '--json', '--blocks', '1').end('one\n')).stdout, '');
});

test('the times of a job that was stopped are texts, wherever its error is shown', async t => {
	const folder = new Folder(t);
	folder.write(
		'stop.mjs',
		`import {open} from '${new URL('../../lib/index.ts', import.meta.url)}';
		import {tasks} from '${new URL('../fixtures/slow-tasks.ts', import.meta.url)}';
		await using faena = await open({queue: 'jobs.db', tasks, workers: 1});
		await (await faena.enqueue('nap', 60_000, {timeout: '50ms', maxAttempts: 1})).outcome();`,
	);
	const made = await folder.run('stop.mjs').end();
	t.is(made.code, 0, made.stderr);
	for (const words of [['list'], ['status'], ['show', '1']]) {
		const {stdout} = await folder.faena(...words, '--json', '--queue', 'jobs.db').end();
		t.regex(stdout, /"postMortem":\{[^}]*"startedAt":"\d{4}-/);
	}
});

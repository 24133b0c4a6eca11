import {once} from 'node:events';
import test, {type ExecutionContext} from 'ava';
import {open, showProgress} from '../../lib/index.ts';
import {Folder, type Program} from '../cli/command.ts';
import {makeFolder} from '../fixtures/folder.ts';

const lib = new URL('../../lib/index.ts', import.meta.url);
const slow = new URL('../fixtures/slow-tasks.ts', import.meta.url);

function run(t: ExecutionContext, body: string): Program {
	const folder = new Folder(t);
	folder.write('main.mjs', `import {open, showProgress} from '${lib}';\nimport {tasks} from '${slow}';\n${body}`);
	return folder.run('main.mjs');
}

test('a program shows how far its map is, and another one how far that batch is', async t => {
	const program = run(
		t,
		`await using faena = await open({queue: 'jobs.db', tasks, workers: 2});
		const map = faena.map('nap', [1, 1, 1], {batch: 'b'});
		const end = showProgress(map);
		await map.toArray();
		await end();
		const bar = showProgress(faena.batch('b'));
		await new Promise(resolve => setTimeout(resolve, 700));
		await bar();
		await showProgress(faena.batch('typo'))();`,
	);
	const {code, stderr} = await program.end();
	t.is(code, 0, stderr);
	const lines = stderr.trim().split('\n');
	t.is(lines[0], '0 of 3  0%');
	t.regex(lines[1] as string, /^3 of 3 {2}100% {2}[\d.,]+\/s$/);
	t.is(lines.at(-3), '3 of 3  100%');
	t.is(lines.at(-1), 'there is no batch "typo" so far');
});

test('what has no progress is refused', async t => {
	const faena = await open({queue: `${makeFolder(t)}/jobs.db`});
	t.throws(() => showProgress(faena as never), {code: 'BadOption', message: /expects what map\(\) or batch\(\) returns/});
	await faena.close();
});

test('after a signal a program says for how many jobs it waits, and for how long; a second one stops them', async t => {
	const program = run(
		t,
		`const faena = await open({queue: 'jobs.db', tasks, workers: 2, closeOnSignals: true, drain: '40s'});
		faena.on('log', () => undefined);
		await faena.enqueueMany('nap', [60_000, 60_000, 60_000]);
		setTimeout(() => console.log('started'), 500);
		await faena.idle();`,
	);
	await program.printed(1);
	const {pid} = program.child;
	process.kill(pid as number, 'SIGINT');
	let said = '';
	while (!said.includes('Waits for')) said += String((await once(program.child.stderr, 'data'))[0]);
	t.regex(said, /Waits for 2 running jobs, for at most 40 s\. A second signal \(Ctrl-C\) stops them; no job is lost\./);
	process.kill(pid as number, 'SIGINT');
	t.is((await program.end()).code, 130);
});

test('a bar that nobody ends does not keep the program alive', async t => {
	const program = run(
		t,
		`const faena = await open({queue: 'jobs.db', tasks, workers: 1});\nconst map = faena.map('nap', [1]);\nshowProgress(map);\nawait map.toArray();\nawait faena.close();`,
	);
	t.is((await program.end()).code, 0);
});

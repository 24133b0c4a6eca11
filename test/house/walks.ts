/**
 * `npm run walks [-- CHECKOUT]`: how many files and functions of lib and workers run only because of one item: of `map()`, of `faena map --sh`, and of one
 * `enqueue()` on PostgreSQL. Each program runs once without the item and once with it, and V8 says which functions were called.
 */
import {spawnSync} from 'node:child_process';
import {mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {PostgresServer} from '../fixtures/postgres-server.ts';

const root = process.argv[2] ?? fileURLToPath(new URL('../..', import.meta.url));
const entry = pathToFileURL(join(root, 'lib/index.ts')).href;
const folder = mkdtempSync(join(tmpdir(), 'faena-walk-'));
const server = await PostgresServer.start();

writeFileSync(join(folder, 'tasks.ts'), 'export function double(n: number): number { return 2 * n; }\n');
writeFileSync(
	join(folder, 'map.ts'),
	`import {open} from '${entry}';
const faena = await open({queue: process.argv[2], tasks: new URL('./tasks.ts', import.meta.url), workers: 1});
for await (const _ of faena.map('double', process.argv[3] === 'item' ? [1] : [], {batch: 'walk'}));
await faena.close();
`,
);
writeFileSync(
	join(folder, 'enqueue.ts'),
	`import {open} from '${entry}';
const faena = await open({queue: process.argv[2], tasks: new URL('./tasks.ts', import.meta.url), workers: 1});
if (process.argv[3] === 'item') await (await faena.enqueue('double', 1)).result();
await faena.idle();
await faena.close();
`,
);

const cli = join(root, 'lib/cli/main.ts');
/** The words and the input of each program, without the item and with it. */
const walks: Readonly<Record<string, (queue: string, hasItem: boolean) => readonly [words: readonly string[], input: string]>> = {
	'one item of map()': (queue, hasItem) => [['map.ts', `${queue}.db`, hasItem ? 'item' : 'none'], ''],
	"one line of faena map --sh 'echo {}'": (queue, hasItem) => [[cli, 'map', '--sh', 'echo {}', '--stdin', '--queue', `${queue}.db`], hasItem ? 'a\n' : ''],
	'one enqueue() on PostgreSQL': (queue, hasItem) => [['enqueue.ts', `${server.url}?schema=${queue}`, hasItem ? 'item' : 'none'], ''],
};

for (const [index, [walk, programOf]] of Object.entries(walks).entries()) {
	const [without, withItem] = [false, true].map(hasItem => calledIn(...programOf(`q${index}${hasItem}`, hasItem))) as [Set<string>, Set<string>];
	const only = [...withItem].filter(each => !without.has(each));
	const filesOf = (called: Iterable<string>) => new Set([...called].map(each => each.slice(0, each.indexOf('#')))).size;
	console.log(`${walk}: ${filesOf(only)} files, ${only.length} functions; called in all: ${filesOf(withItem)} files, ${withItem.size} functions`);
}
await server.stop();
rmSync(folder, {recursive: true});

/** The functions that a program calls in all of its threads and processes, each by its file, name and place. */
function calledIn(words: readonly string[], input: string): Set<string> {
	const coverage = mkdtempSync(join(folder, 'coverage-'));
	const env = {...process.env, NODE_V8_COVERAGE: coverage};
	const {status, stderr} = spawnSync(process.execPath, ['--conditions=faena-source', ...words], {cwd: folder, input, env, encoding: 'utf8'});
	if (status !== 0) throw new Error(`${words.join(' ')} ended with ${status}: ${stderr}`);
	return new Set(readdirSync(coverage).flatMap(name => calledBy(JSON.parse(readFileSync(join(coverage, name), 'utf8')) as Coverage)));
}

function calledBy({result}: Coverage): string[] {
	const own = ['lib', 'workers'].map(each => pathToFileURL(join(root, each)).href);
	const functions = result
		.filter(({url}) => own.some(each => url.startsWith(`${each}/`)))
		.flatMap(({url, functions}) => functions.map(each => ({...each, url})));
	return functions.flatMap(({url, functionName, ranges: [range]}) =>
		functionName !== '' && range && range.count > 0 ? `${url}#${functionName}@${range.startOffset}` : [],
	);
}

interface Coverage {
	readonly result: readonly {
		readonly url: string;
		readonly functions: readonly {readonly functionName: string; readonly ranges: readonly {readonly count: number; readonly startOffset: number}[]}[];
	}[];
}

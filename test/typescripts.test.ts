/** The package's types with other TypeScripts than ours, and how long a large program takes to be checked. */
import {cpSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test from 'ava';
import {type Compiler, checkTypes, compile} from './fixtures/check-types.ts';
import {installPacked} from './fixtures/packed.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const project = mkdtempSync(join(tmpdir(), 'faena-typescripts-'));

/** Besides our own: the oldest TypeScript that the package's declarations are for, and the last one of each other number. A user's project has its own. */
const OTHER_TYPESCRIPTS = ['5.4.5', '5.9.3', '6.0.3'];

/** The declarations of Node.js that the oldest of them can read. */
const OLD_NODE_TYPES = '@types/node@22.5.5';

test.before('packs the package and installs it in an empty project', async t => {
	t.timeout(180_000);
	await installPacked(project, OLD_NODE_TYPES, ...OTHER_TYPESCRIPTS.map(version => `typescript-${version}@npm:typescript@${version}`));
	cpSync(join(root, 'test/fixtures/typed'), project, {recursive: true});
});

test.after.always(() => rmSync(project, {recursive: true, force: true}));

const OTHERS: readonly Compiler[] = [
	...OTHER_TYPESCRIPTS.map(
		(version, index) => [version, join(project, `node_modules/typescript-${version}`), join(index === 0 ? project : root, 'node_modules/@types')] as const,
	),
];

checkTypes(project, OTHERS);

test('a program with a hundred tasks is checked', async t => {
	const numbers = Array.from({length: 100}, (_, index) => index);
	const tasks = numbers.map(n => `async task${n}({a}: {a: number; b?: ${n}}): Promise<{a: number; n: ${n}}> { return {a, n: ${n}}; },\n`);
	const calls = numbers.map(n => `(await faena.call('task${n}', {a: 1})).n satisfies ${n};\nawait faena.pipe([{a: 1}], 'task${n}', 'task1').toArray();\n`);
	const opened = "import {open} from 'faena';\nimport {tasks} from './hundred-tasks.ts';\nconst faena = await open({queue: 'a.db', tasks});\n";
	const defined = "import {defineTasks} from 'faena';\nexport const tasks = defineTasks(import.meta.url, {\n";
	writeFileSync(join(project, 'hundred-tasks.ts'), `${defined}${tasks.join('')}});\n`);
	writeFileSync(join(project, 'hundred.ts'), `${opened}${calls.join('')}`);
	for (const compiler of [['7', join(root, 'node_modules/typescript'), join(root, 'node_modules/@types')] as const, ...OTHERS]) {
		const said = await compile(project, 'hundred.ts', compiler, {extendedDiagnostics: true});
		t.notRegex(said, /error/);
		t.log(`TypeScript ${compiler[0]}: ${/Check time:.*/.exec(said)?.[0]}, ${/Types:.*/.exec(said)?.[0]}`);
	}
});

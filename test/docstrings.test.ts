/** What an editor shows of a public name: each has an example, and every example of a docstring compiles. */
import {execFile} from 'node:child_process';
import {globSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import test from 'ava';

const root = fileURLToPath(new URL('../', import.meta.url));
const sources = globSync('lib/**/*.ts', {cwd: root}).map(file => ({file, text: readFileSync(join(root, file), 'utf8')}));

/** The names of an entry, without those that it shares with another. */
function namesOf(entry: string): string[] {
	const lists = [...readFileSync(join(root, `lib/${entry}.ts`), 'utf8').matchAll(/^export (?:type )?\{([^}]*)\}/gm)];
	return lists.flatMap(([, list = '']) => list.split(',').map(each => each.replace('type ', '').trim())).filter(Boolean);
}

const ENTRIES = {faena: 'index', 'faena/queue': 'queue', 'faena/testing': 'testing'} as const;
const NAMES = Object.entries(ENTRIES).map(([name, entry]) => [name, namesOf(entry)] as const);

test('each public name has an example in its docstring', t => {
	const without = NAMES.flatMap(([, names]) => names).filter(name => {
		const docs = new RegExp(`(/\\*\\*(?:(?!\\*/).)*\\*/)\\s*(?://[^\\n]*\\n\\s*)?export (?:async )?(?:interface|type|class|function|const) ${name}\\b`, 's');
		const found = sources.flatMap(({text}) => docs.exec(text)?.[1] ?? []);
		return !found.some(doc => doc.includes('@example'));
	});
	t.deepEqual(without, []);
});

/** The module of tasks of which examples speak. */
const TASKS = `
export const [size, countPages] = [(file: string) => file.length, (file: string) => file.length];
export const [resize, thumbnail, fetch, sha256] = [(file: string) => file, (path: string) => path, (url: string) => url, (file: string) => file];
export const [render, merge, enrich, rebuildIndex] = [(page: any) => '', (parts: any) => '', (row: any) => row, (options: object) => undefined];
export const [parse, toLine] = [(line: string) => ({line}), (row: {line: string}) => row.line];
export const [sendReceipt, report] = [(order: any) => order, (day?: unknown) => day];
`;

interface Example {
	readonly place: string;
	readonly code: string;
}

function examplesOf({file, text}: {readonly file: string; readonly text: string}): Example[] {
	return [...text.matchAll(/\/\*\*(?:(?!\*\/)[\s\S])*\*\//g)].flatMap(({0: doc, index}) => {
		const lines = doc
			.replace(/^\/\*\*|\*\/$/g, '')
			.split('\n')
			.map(line => line.replace(/^\s*\* ?/, ''));
		const parts = lines.join('\n').split(/(?:^|\s)@(?=[a-z]+\b)/);
		return parts
			.filter(part => part.startsWith('example'))
			.map(part => ({place: `${file}:${text.slice(0, index).split('\n').length}`, code: part.slice('example'.length).trim()}));
	});
}

/** A text that stands for something: an expression, or a statement, whose `…` is left out. */
function toModule({code}: Example, free: readonly string[]): string {
	const body = code.replaceAll('…', '').replace(/^export /gm, '');
	const statement = /^[{(]/.test(body) ? `void (${body.replace(/=>\s*$/, '=> undefined')});` : body;
	const taken = new Set<string>();
	const imports = NAMES.map(([entry, names]) => `import {${names.filter(name => !taken.has(name) && taken.add(name)).join(', ')}} from '${entry}';`);
	const declared = free.map(name => `declare const ${name}: ${/^(files|paths|urls|lines)$/.test(name) ? 'string[]' : 'any'};`);
	return [
		...imports,
		...(/\bfaena\b/.test(body) && !/\bfaena\b[^.]*[=:)]/.test(body) ? [`declare const faena: Engine<typeof import('./tasks.ts')>;`] : []),
		...(/\bctx\b/.test(body) && !/\bctx\b: /.test(body) ? ['declare const ctx: TaskContext<any>;'] : []),
		...declared,
		`async function example() {\n${statement}\n}\nvoid example;`,
	].join('\n');
}

test('every example of a docstring compiles', async t => {
	t.timeout(240_000);
	const folder = mkdtempSync(join(tmpdir(), 'faena-docstrings-'));
	t.teardown(() => rmSync(folder, {recursive: true, force: true}));
	symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
	writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
	writeFileSync(join(folder, 'tasks.ts'), TASKS);
	writeFileSync(
		join(folder, 'tsconfig.json'),
		JSON.stringify({
			compilerOptions: {
				...{
					strict: true,
					noImplicitAny: false,
					noEmit: true,
					module: 'nodenext',
					target: 'es2024',
					lib: ['es2025', 'esnext.disposable'],
					types: ['node'],
					skipLibCheck: true,
					allowImportingTsExtensions: true,
				},
				paths: Object.fromEntries(Object.entries(ENTRIES).map(([name, entry]) => [name, [join(root, `lib/${entry}.ts`)]])),
				erasableSyntaxOnly: true,
			},
			include: ['*.ts'],
		}),
	);
	const examples = sources.flatMap(examplesOf);
	t.true(examples.length > 150, `${examples.length} examples`);
	const check = async (free: ReadonlyMap<number, readonly string[]>) => {
		for (const [at, example] of examples.entries()) writeFileSync(join(folder, `e${at}.ts`), toModule(example, free.get(at) ?? []));
		const {stdout} = await promisify(execFile)(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--project', folder, '--pretty', 'false'], {
			cwd: folder,
			maxBuffer: 2 ** 26,
		}).catch((error: {stdout: string}) => error);
		return stdout.split('\n').filter(line => line.startsWith('e'));
	};
	// What an example takes for given, such as `files`, may be anything.
	const free = new Map<number, string[]>();
	for (const line of await check(free)) {
		const [, at, name] = /^e(\d+)\.ts\(.*error TS(?:2304|2552|18004): [^']*'(\w+)'/.exec(line) ?? [];
		if (name !== undefined) free.set(Number(at), [...new Set([...(free.get(Number(at)) ?? []), name])]);
	}
	const wrong = (await check(free)).map(line => `${examples[Number(/^e(\d+)/.exec(line)?.[1])]?.place}: ${line}`);
	t.deepEqual(wrong, []);
});

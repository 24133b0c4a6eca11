import {execFile} from 'node:child_process';
import {existsSync, globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import test from 'ava';
import {linkPackages} from './fixtures/linked-packages.ts';
import {FOLLOWED} from './fixtures/pages.ts';
import {drawn} from './fixtures/random.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../', import.meta.url));
const project = mkdtempSync(join(tmpdir(), 'faena-docs-'));
const documents = [
	'README.md',
	...['docs', 'docs/internals'].flatMap(folder =>
		readdirSync(join(root, folder))
			.filter(name => name.endsWith('.md'))
			.map(name => `${folder}/${name}`),
	),
];

/** Documents whose sections are programs of their own. */
const BY_SECTION = ['docs/recipes.md'];

/** A TypeScript block of a document. */
interface Block {
	readonly document: string;
	/** In which the block finds others, and the package by its name: that of its document, or of its section. */
	readonly folder: string;
	/** Line of its fence, from 1. */
	readonly line: number;
	readonly code: string;
	/** By the comment in its first line, such as `// tasks.ts`. */
	readonly name: string | undefined;
	/** By the comment `<!-- fragment -->` in the line before: it is not run, and what it needs besides is declared for it. */
	readonly isFragment: boolean;
	/** By a block of text that follows: what it prints. */
	readonly output: string | undefined;
}

const blocks = documents.flatMap(blocksOf);
/** Waits for another program that runs its job: a test of its own has both. */
const ENQUEUES = 'enqueue.ts';
const programs = blocks.filter(
	({document, name, code}) => name !== undefined && name !== ENQUEUES && !/^export /m.test(code) && !FOLLOWED.includes(basename(document)),
);

function blocksOf(document: string): Block[] {
	const markdown = readFileSync(join(root, document), 'utf8');
	return [...markdown.matchAll(/(<!-- fragment -->\n)?^```ts\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?/gms)].map(match => {
		const [, fragment = '', code = '', output] = match;
		const before = markdown.slice(0, match.index);
		const line = before.split('\n').length + (fragment ? 1 : 0);
		const section = BY_SECTION.includes(document) ? `-${before.split('\n## ').length}` : '';
		const folder = join(
			project,
			`${document
				.replace(/^docs\//, '')
				.replace('.md', '')
				.replace('/', '-')}${section}`,
		);
		return {document, folder, line, code, name: /^\/\/ (\S+\.ts)$/m.exec(code.split('\n')[0] ?? '')?.[1], isFragment: fragment !== '', output};
	});
}

/** Lines of the file are those of the document, so that what is wrong is found there. */
function write(block: Block): void {
	const {name, line, code} = block;
	const before = name === undefined ? preludeOf(block) : '';
	writeFileSync(join(block.folder, name ?? `line-${line}.ts`), `${'\n'.repeat(line - 1)}${before}\n${code}`);
}

/** What a fragment may use without saying where it comes from: the engine of its folder's tasks, and the functions of the package. */
function preludeOf({folder, code}: Block): string {
	const tasks = blocks.some(block => block.folder === folder && block.name === 'tasks.ts') ? "typeof import('./tasks.ts')" : '';
	const functions = code.includes("from 'faena'") ? '' : "import {open, task} from 'faena';";
	const engine = /\bconst faena\b/.test(code) ? '' : `declare const faena: import('faena').Engine${tasks && `<${tasks}>`};`;
	return `${functions}${engine}export {};`;
}

test.before(() => {
	linkPackages(project);
	for (const folder of new Set(blocks.map(block => block.folder))) {
		mkdirSync(folder);
		writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
	}
	for (const block of blocks) write(block);
});

test.after.always(() => rmSync(project, {recursive: true, force: true}));

test('each TypeScript block of the documents is a file by its first line, or is marked as a fragment', t => {
	t.true(blocks.length > 15);
	t.deepEqual(
		blocks.filter(({name, isFragment}) => (name !== undefined) === isFragment).map(({document, line}) => `${document}:${line}`),
		[],
	);
	const files = blocks.flatMap(({folder, name}) => (name === undefined ? [] : [`${folder} ${name}`]));
	t.deepEqual(files, [...new Set(files)]);
});

test('the TypeScript blocks of the documents have no type errors', async t => {
	const options = {
		...{strict: true, noEmit: true, allowImportingTsExtensions: true, erasableSyntaxOnly: true, skipLibCheck: true},
		...{target: 'es2022', module: 'nodenext', lib: ['es2025', 'esnext.array', 'esnext.disposable'], types: ['node']},
	};
	const include = blocks.map(block => block.folder);
	writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({compilerOptions: options, include}));
	const checked = run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--project', project], {cwd: project});
	await t.notThrowsAsync(checked.catch(({stdout}) => Promise.reject(new Error(stdout))));
});

// One after the other: each takes all processors there are.
for (const block of drawn(programs, 5)) {
	const {document, folder, name = '', output} = block;
	test.serial(`${name} of ${document} runs${output === undefined ? '' : ', and prints what is written below it'}`, async t => {
		const {stdout} = await run(process.execPath, [name, 'package.json'], {cwd: folder, timeout: 60_000});
		if (output === undefined) t.pass();
		else t.is(stdout, output);
	});
}

test.serial('the first program of README.md goes on where it was, also with other files and in another order', async t => {
	const inFolder = {cwd: join(project, 'README'), timeout: 60_000};
	for (const files of [['package.json'], ['tasks.ts', 'package.json']]) {
		const {stdout} = await run(process.execPath, ['main.ts', ...files], inFolder);
		t.deepEqual([...stdout.matchAll(/^[0-9a-f]{64} (.*)$/gm)].map(match => match[1]).sort(), files.toSorted());
	}
});

test.serial('enqueue.ts of README.md prints the result of a job that faena work has run', async t => {
	const inFolder = {cwd: join(project, 'README'), timeout: 60_000};
	const working = new AbortController();
	const words = [join(root, 'lib/cli/main.ts'), 'work', './tasks.ts', '--queue', 'jobs.db'];
	const work = run(process.execPath, words, {...inFolder, signal: working.signal}).catch(() => undefined);
	t.regex((await run(process.execPath, [ENQUEUES], inFolder)).stdout, /^[0-9a-f]{64}\n$/);
	working.abort();
	await work;
});

test('README.md fits on three screens, and docs/README.md names each page once', t => {
	t.true(readFileSync(join(root, 'README.md'), 'utf8').split('\n').length <= 151);
	const linked = [...readFileSync(join(root, 'docs/README.md'), 'utf8').matchAll(/\]\(((?:internals\/)?[\w-]+\.md)\)/g)].map(match => `docs/${match[1]}`);
	t.deepEqual(linked.toSorted(), documents.filter(document => document.startsWith('docs/') && document !== 'docs/README.md').toSorted());
});

test('the files that the documents name are there', t => {
	const missing = [...documents, 'ARCHITECTURE.md', 'CONTRIBUTING.md'].flatMap(document => {
		const markdown = readFileSync(join(root, document), 'utf8');
		const links = [...markdown.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)].map(match => join(dirname(document), match[1] as string));
		const paths = [...markdown.matchAll(/`((?:lib|workers|test|bench|examples|docs)\/[\w./-]*)/g)].map(match => match[1] as string);
		return [...links, ...paths].filter(path => !existsSync(join(root, path))).map(path => `${document}: ${path}`);
	});
	t.deepEqual(missing, []);
});

test('each source that the documents for maintainers name without its folder is somewhere', t => {
	const names = new Set(globSync('{lib,workers,test,bench,examples,docs}/**/*.{ts,cts,sql}', {cwd: root}).map(path => basename(path)));
	const missing = ['ARCHITECTURE.md', 'CONTRIBUTING.md', 'lib/README.md', 'docs/internals/one-job.md', 'docs/internals/decisions.md'].flatMap(document =>
		[...readFileSync(join(root, document), 'utf8').matchAll(/`([\w.-]+\.(?:ts|cts|sql))`/g)]
			.map(match => match[1] as string)
			.filter(name => !names.has(name))
			.map(name => `${document}: ${name}`),
	);
	t.deepEqual(missing, []);
});

/** The anchors that GitHub gives to the headings of a document. */
function anchorsOf(document: string): string[] {
	const headings = readFileSync(join(root, document), 'utf8').matchAll(/^#+ (.+)$/gm);
	return [...headings].map(([, heading = '']) =>
		heading
			.toLowerCase()
			.replaceAll(/[^\p{L}\d_ -]/gu, '')
			.replaceAll(' ', '-'),
	);
}

test('the sections to which the documents link are there', t => {
	const links = documents.flatMap(document => {
		const markdown = readFileSync(join(root, document), 'utf8');
		return [...markdown.matchAll(/\]\((?!https?:)([^)#]*\.md)?#([^)]+)\)/g)].map(([, page, anchor = '']) => {
			return {document, page: page === undefined ? document : join(dirname(document), page), anchor};
		});
	});
	t.true(links.length > 20);
	t.deepEqual(
		links.filter(({page, anchor}) => !anchorsOf(page).includes(anchor)),
		[],
	);
});

test('the laws that docs/internals/reliability.md quotes are titles and laws of the tests', t => {
	const page = readFileSync(join(root, 'docs/internals/reliability.md'), 'utf8').replaceAll(/^\* /gm, '').replaceAll(/\s+/g, ' ');
	const laws = page.slice(page.indexOf('## The laws'), page.indexOf('## What is not promised'));
	const tests = readdirSync(join(root, 'test'), {recursive: true, encoding: 'utf8'}).filter(name => name.endsWith('.ts'));
	const sources = tests
		.map(name => readFileSync(join(root, 'test', name), 'utf8'))
		.join('\n')
		.replaceAll("\\'", "'");
	// Without the names of the laws, which are bold. `…` stands for left out words.
	const quotes = [...laws.replaceAll(/\*\*.*?\*\*/g, '').matchAll(/\*([^*]+)\*/g)].flatMap(([, quote = '']) => quote.split('…').map(part => part.trim()));
	const known = quotes.filter(part => part.length > 8 && part !== 'Seen to fail');
	t.true(known.length > 60);
	t.deepEqual(
		known.filter(part => !sources.includes(part.replace(/,$/, ''))),
		[],
	);
});

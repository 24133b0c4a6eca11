import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {Readable} from 'node:stream';
import {isDeepStrictEqual} from 'node:util';
import {itemsOf as readItems} from '../../../lib/cli/map/inputs/items.ts';
import {nameOf} from '../../../lib/cli/map/inputs/keys.ts';
import {ndjsonOf} from '../../../lib/cli/map/inputs/ndjson.ts';
import {recordsOf} from '../../../lib/cli/map/inputs/records.ts';
import {run} from '../../../lib/cli/program.ts';
import {FaenaError} from '../../../lib/support/errors.ts';
import {between, pick, seeded} from '../../fixtures/random.ts';
import {mutated} from './mutations.ts';
import {MaintenanceResult, type Result, type Round, seedsOf} from './round.ts';
import {tamperedDatabases} from './rows.ts';

type Random = () => number;

/** Command lines to the parsers of the command and, where they take them, to sound and tampered databases; inputs to the reader of lines. */
export async function fuzzCli(round: Round): Promise<Result> {
	const findings = new MaintenanceResult();
	const queues = [];
	for await (const {path, changes} of tamperedDatabases({...round, runs: 20})) queues.push({path, changes});
	const home = process.cwd();
	process.chdir(round.folder);
	writeFileSync(join(round.folder, 'a.txt'), 'a');
	for (const seed of seedsOf(round)) {
		const random = seeded(seed);
		if (random() < 0.3) await readPacked(random, findings, `input ${seed}`);
		else await command(random, pick(random, queues), findings, seed);
	}
	process.chdir(home);
	return findings;
}

async function command(
	random: Random,
	{path, changes}: {readonly path: string; readonly changes: string},
	findings: MaintenanceResult,
	seed: number,
): Promise<void> {
	const words = wordsOf(random, path);
	const {code, stdout, stderr} = await capture(() => run(words));
	findings.count(`${code}`);
	const complaint = complaintOf(words, code, stdout, stderr);
	if (complaint !== undefined)
		findings.complain(`command ${seed}: faena ${JSON.stringify(words)} on (${changes})`, `${complaint}\n${stdout.slice(0, 300)}\n${stderr.slice(0, 500)}`);
}

/** What is wrong with how a command ended. */
export function complaintOf(words: readonly string[], code: number, stdout: string, stderr: string): string | undefined {
	if (![0, 1, 2, 3, 4, 69].includes(code)) return `it ends with ${code}`;
	if (/^\s+at .*(file:|node:|\.ts:\d)/m.test(stderr)) return 'it prints a stack';
	// A command that isn't there is answered by the help.
	const isHelp = stderr.startsWith('\nUsage: faena') || stderr.startsWith('Usage: faena');
	const lines = stderr.trimEnd().split('\n');
	if (code >= 2 && !isHelp && !lines.at(-1)?.startsWith('faena: ') && !words.some(word => word.includes('\n'))) return 'it does not say why';
	if (code >= 2 && !isHelp && lines.slice(0, -1).some(line => !/^[\d,]+ (done|of)/.test(line)) && !words.some(word => word.includes('\n')))
		return 'it says more than a sentence';
	if (/[^\P{Cc}\n\t]|[\u202a-\u202e]/u.test(stdout)) return 'a terminal would obey what it prints';
	if (code === 0 && words.includes('--json') && !words.some(word => HELP.has(word)) && !isNdjson(stdout)) return 'it prints what is no JSON';
	return undefined;
}

const HELP: ReadonlySet<string> = new Set(['-h', '--help', '-V', '--version', 'help']);

function isNdjson(text: string): boolean {
	try {
		for (const line of text.split('\n').filter(Boolean)) JSON.parse(line);
		return true;
	} catch {
		return false;
	}
}

async function capture(act: () => Promise<void>): Promise<{code: number; stdout: string; stderr: string}> {
	const said = {stdout: '', stderr: ''};
	const originals = [process.stdout, process.stderr].map(stream => ({stream, write: stream.write}));
	for (const name of ['stdout', 'stderr'] as const) {
		process[name].write = ((text: string, done?: () => void) => {
			said[name] += text;
			if (typeof done === 'function') done();
			return true;
		}) as never;
	}
	process.exitCode = 0;
	try {
		await act();
		return {code: Number(process.exitCode), ...said};
	} finally {
		process.exitCode = 0;
		for (const {stream, write} of originals) stream.write = write;
	}
}

// Command lines

const HOSTILE = [
	'',
	'-',
	'--',
	'---',
	'--=',
	'-1',
	'0',
	'1',
	'2',
	'99',
	'1e3',
	'0x10',
	'９',
	'9007199254740993',
	'9'.repeat(400),
	' 1',
	'1\n2',
	'__proto__',
	'constructor',
];
const MORE = [
	'--__proto__=1',
	'--constructor',
	'--queue=',
	'\ud800',
	'\u202e',
	'\u001b[2J',
	'a\tb',
	"'; drop table job; --",
	'%s%d',
	'{a,b}{c,d}',
	'[!a',
	'**',
	'*.txt',
	'x'.repeat(10_000),
];
const TEXTS: readonly string[] = [...HOSTILE, ...MORE];

/** With the options that they have. */
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
	map: [
		'--queue',
		'-j',
		'--workers',
		'--isolation',
		'--timeout',
		'--max-attempts',
		'--batch',
		'--order',
		'--stdin',
		'--ndjson',
		'--csv',
		'-0',
		'--key',
		'-a',
		'--range',
		'-n',
		'-r',
		'--shuf',
		'--dry-run',
		':::',
		':::+',
		'::::',
		'--retry-failed',
		'--missing',
		'--halt',
		'--quiet',
	],
	status: ['--queue', '--batch', '--json'],
	batches: ['--queue', '--json'],
	show: ['--queue', '--json'],
	cancel: ['--queue', '--batch', '--task'],
	retry: ['--queue', '--batch', '--task'],
	list: ['--queue', '--batch', '--task', '--status', '--key', '--json'],
	logs: ['--queue', '--json'],
	flow: ['--queue', '--json'],
	doctor: ['--queue', '--json'],
	enqueue: ['--queue', '--key', '--delay', '--priority', '--max-attempts', '--timeout'],
	pause: ['--queue'],
	resume: ['--queue'],
	cleanup: ['--queue', '--older-than', '--status', '--task'],
	delete: ['--queue'],
	help: [],
	mpa: [],
};
/** Options, and values that they take. */
const OPTIONS: Readonly<Record<string, readonly string[]>> = {
	'--queue': ['none.db', '.', 'none/none.db'],
	'--batch': ['nightly', 'none'],
	'--task': ['hash', 'none'],
	'--status': ['dead', 'completed,dead', 'running', 'none'],
	'--delay': ['10m', '0s', '5'],
	'--priority': ['5', '-5', '1.5'],
	'--older-than': ['0s', '7d', '5', 'x'],
	'--json': [],
	'--stdin': [],
	'--ndjson': [],
	'--csv': [],
	'-0': [],
	'--key': ['a', '99', 'id', 'a.b'],
	'-a': ['none', 'a.txt', '.'],
	'--range': ['1..3', '3..1', '1..', '0..9..2'],
	'-n': ['1', '3', '0'],
	'-r': [],
	'--shuf': [],
	'--dry-run': [],
	':::': ['a'],
	':::+': ['a'],
	'::::': ['none', 'a.txt'],
	'-j': ['1', '0', '999999', '1.5'],
	'--workers': ['1', '0', '999999', '1.5'],
	'--isolation': ['thread', 'process', 'inline'],
	'--timeout': ['30s', '300%', '99%', '5', '1e9h', '-1s', `${'1'.repeat(200)}s`],
	'--max-attempts': ['3', '0', 'x'],
	'--order': ['input', 'finished', 'none'],
	'--retry-failed': [],
	'--missing': ['keep', 'cancel', 'delete', 'none'],
	'--halt': ['now,fail=1', 'soon,fail=5%', 'now,success=0', 'soon,fail=1e9', 'now,fail=999999999', 'now,,'],
	'--quiet': [],
	'--help': [],
	'--version': [],
};

function wordsOf(random: Random, queue: string): string[] {
	const command = pick(random, Object.keys(COMMANDS));
	const words = [command];
	// Only a map that is refused: these run in the program of the test.
	if (command === 'map') words.push(pick(random, ['none.mjs#task', './none.mjs', '#', 'a#b#c', ...TEXTS]), 'none-*');
	else words.push('--queue', queue);
	for (let count = between(random, 0, 4); count > 0; count--) {
		if (random() < 0.3) words.splice(between(random, 0, words.length), 0, pick(random, TEXTS));
		else words.push(...optionOf(random, random() < 0.9 ? (COMMANDS[command] as readonly string[]) : []));
	}
	if (random() < 0.4) words.push(String(between(random, 0, 45)));
	if (random() < 0.1) words.splice(between(random, 0, words.length - 1), 1);
	return words;
}

export function optionOf(random: Random, names: readonly string[]): string[] {
	const option = pick(random, names.length > 0 ? names : Object.keys(OPTIONS));
	const values = OPTIONS[option] as readonly string[];
	if (random() < 0.4) return [`${option}=${pick(random, [...values, ...TEXTS])}`];
	return values.length === 0 ? [option] : [option, pick(random, random() < 0.7 ? values : TEXTS)];
}

// Lines

const LINES = ['{"a":1}', '"ä😀"', '1', '', ' ', '\r', '[1]\r', '{"a":', '\ufeff"b"', 'null', '{"__proto__":1}', '"\u2028"', '[[['];

/** A text of several lines, or something like it. */
export function inputOf(random: Random): Buffer {
	const text = Buffer.from(Array.from({length: between(random, 0, 6)}, () => pick(random, LINES)).join('\n'));
	return random() < 0.5 ? text : mutated(text, random, text);
}

async function readPacked(random: Random, findings: MaintenanceResult, input: string): Promise<void> {
	const bytes = inputOf(random);
	const json = random() < 0.5;
	const expected = itemsOf(bytes, json);
	const found = await readAll(bytes, json, random).catch((error: unknown) => error);
	const isRefused = found instanceof FaenaError && found.code === 'BadOption';
	findings.count(isRefused ? 'lines refused' : 'lines read');
	if (expected === undefined ? !isRefused : !isDeepStrictEqual(found, expected))
		findings.complain(input, `${JSON.stringify(bytes.toString('latin1'))} is read as ${JSON.stringify(found)} ${String(found)}`);
}

async function readAll(bytes: Buffer, json: boolean, random: Random): Promise<unknown[]> {
	const chunks: Buffer[] = [];
	for (let start = 0; start < bytes.length; ) {
		const end = start + between(random, 1, 9);
		chunks.push(bytes.subarray(start, end));
		start = end;
	}
	const items: unknown[] = [];
	const source = {stream: Readable.from(chunks), name: 'the input'};
	if (!json) for await (const lines of recordsOf(source, '\n')) items.push(...lines);
	else for await (const {key, payload} of readItems(ndjsonOf(source, undefined), undefined)) items.push({key, payload});
	return items;
}

/** What is due, found in a simpler way; `undefined` for a refusal. */
function itemsOf(bytes: Buffer, json: boolean): unknown[] | undefined {
	try {
		const text = new TextDecoder('utf-8', {fatal: true}).decode(bytes);
		const lines = text.split('\n');
		if (lines.at(-1) === '') lines.pop();
		const texts = lines.map(line => line.replace(/\r$/, ''));
		if (!json) return texts;
		const contents = texts.map(text => text.trim()).filter(Boolean);
		return contents.map((content, index) => {
			const count = contents.slice(0, index + 1).filter(each => each === content).length;
			return {key: nameOf(content) + (count > 1 ? `##${count}` : ''), payload: JSON.parse(content)};
		});
	} catch {
		return undefined;
	}
}

/**
 * `npm run reliability`: the table of docs/internals/reliability.md, made of the results in `test/fault/results/`. Add to them what a long run
 * wrote: `cat torture.jsonl >> test/fault/results/torture.jsonl`.
 */
import {readdirSync, readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';

/** A line of the results. */
interface Line {
	readonly seed?: number;
	readonly seconds: number;
	readonly broken: number | readonly unknown[];
	readonly machine: string;
	readonly [name: string]: unknown;
}

interface Kind {
	/** What each try is, in the plural. */
	readonly tries: string;
	/** Which field counts the tries. */
	readonly field: string;
	/** What else is worth a sum: by what it is called, the field. */
	readonly more: Readonly<Record<string, string>>;
	/** Whether they are drawn by chance, so that one may conclude from those that were drawn; or all that there are. */
	readonly isDrawn: boolean;
	/** The field by which the run has a row for each value. */
	readonly by?: string;
	/** Lines of another kind in the same file, which don't count: a control. */
	readonly isControl?: (line: Line) => boolean;
}

const KINDS: Readonly<Record<string, Kind>> = {
	torture: {tries: 'deaths', field: 'kills', more: {'jobs acknowledged': 'acknowledged', executions: 'executions'}, isDrawn: true, by: 'endings'},
	faults: {tries: 'faults', field: 'faults', more: {}, isDrawn: false},
	'power-loss': {tries: 'states of the disk', field: 'different', more: {}, isDrawn: true, isControl: ({durability}) => durability === 'normal'},
	'bad-jobs': {tries: 'bad executions', field: 'executions', more: {'good jobs': 'good'}, isDrawn: true},
	'byte-flips': {tries: 'damaged databases', field: 'runs', more: {'of them unnoticed': 'ends.unnoticed'}, isDrawn: true},
	fuzz: {tries: 'inputs', field: 'runs', more: {}, isDrawn: true, by: 'what'},
	simulate: {tries: 'events', field: 'events', more: {worlds: 'worlds', executions: 'executions'}, isDrawn: true},
};

/** A Markdown table with a row for each kind of run. */
export function figures(folder = fileURLToPath(new URL('./results/', import.meta.url))): string {
	const all = readdirSync(folder)
		.filter(name => name.endsWith('.jsonl'))
		.sort()
		.flatMap(name => rows(name.replace('.jsonl', ''), linesOf(readFileSync(`${folder}/${name}`, 'utf8'))));
	return ['| Run | Tries | Seeds | Hours | Broke a law | With 95 % confidence, rarer than |', '| --- | --- | --- | ---: | ---: | ---: |', ...all].join('\n');
}

function linesOf(text: string): Line[] {
	return text
		.split('\n')
		.filter(Boolean)
		.map(line => JSON.parse(line) as Line);
}

function rows(name: string, all: readonly Line[]): string[] {
	const kind = KINDS[name];
	if (!kind) throw new Error(`test/fault/results/${name}.jsonl: test/fault/figures.ts does not say what it counts.`);
	const {by, isControl} = kind;
	const lines = all.filter(line => !isControl?.(line));
	return [...Map.groupBy(lines, line => (by === undefined ? '' : String(line[by])))].map(([value, each]) =>
		row(`\`npm run ${name}\` ${value}`.trim(), kind, each),
	);
}

function row(title: string, kind: Kind, lines: readonly Line[]): string {
	const sum = (field: string) => lines.reduce((total, line) => total + Number(pathValue(line, field) ?? 0), 0);
	const tries = sum(kind.field);
	const broken = lines.reduce((total, {broken}) => total + (typeof broken === 'number' ? broken : broken.length), 0);
	const more = Object.entries(kind.more).map(([what, field]) => `${whole(sum(field))} ${what}`);
	const seeds = lines.flatMap(({seed}) => seed ?? []);
	return `| ${[
		title,
		[`${whole(tries)} ${kind.tries}`, ...more].join(', '),
		ranges(seeds),
		(sum('seconds') / 3600).toFixed(1),
		broken,
		// The rule of three: what was never seen in n independent tries happens, with 95 % confidence, in fewer than 3/n of them.
		broken === 0 && kind.isDrawn ? `1 in ${whole(Math.floor(tries / 3))}` : '',
	].join(' | ')} |`;
}

/** @param field such as `executions`, or `ends.unnoticed` of what lies in another */
function pathValue(line: Line, field: string): unknown {
	return field.split('.').reduce<unknown>((value, name) => (value as Line | undefined)?.[name], line);
}

function whole(count: number): string {
	return count.toLocaleString('en-US');
}

/** 1–3, 7 */
function ranges(numbers: readonly number[]): string {
	const runs: [first: number, last: number][] = [];
	for (const number of [...new Set(numbers)].sort((one, other) => one - other)) {
		const run = runs.at(-1);
		if (run && run[1] === number - 1) run[1] = number;
		else runs.push([number, number]);
	}
	return runs.map(([first, last]) => (first === last ? first : `${first}–${last}`)).join(', ');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(figures());

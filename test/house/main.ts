/** `npm run house [-- CHECKOUT]`: prints the sizes of folders, files, classes and functions of lib and workers, here or in another checkout. */
import {dirname} from 'node:path';
import {fileURLToPath} from 'node:url';
import {longestChain, measure} from './measure.ts';

const sources = measure(process.argv[2] ?? fileURLToPath(new URL('../..', import.meta.url)));
const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);
const lines = sum(sources.map(source => source.lines));

print('files  lines  folder', [
	...Object.entries(Object.groupBy(sources, source => dirname(source.file))).map(([folder, of = []]) =>
		row(of.length, sum(of.map(source => source.lines)), folder),
	),
	row(sources.length, lines, 'all'),
]);
const chain = longestChain(sources);
print(`Longest chain of imports: ${chain.length} files`, [chain.join(' → ')]);
print(
	'fields methods class, of the ten with the most fields',
	top(
		sources.flatMap(({file, classes}) => classes.map(each => ({...each, file}))),
		each => each.fields,
		each => row(each.fields, each.methods, `${each.name} (${each.file})`),
	),
);
const functions = sources.flatMap(({file, functions}) => functions.map(each => ({...each, file})));
const isLong = functions.filter(each => each.lines > 40);
print(
	`${functions.length} functions and methods; longer than 40 lines: ${isLong.length}`,
	top(
		isLong,
		each => each.lines,
		each => row(each.lines, '', `${each.name} (${each.file})`),
	),
);
print(
	'lines of the ten longest files',
	top(
		sources,
		source => source.lines,
		source => row(source.lines, '', source.file),
	),
);

function top<Each>(list: readonly Each[], by: (each: Each) => number, show: (each: Each) => string): string[] {
	return list
		.toSorted((a, b) => by(b) - by(a))
		.slice(0, 10)
		.map(show);
}

function row(first: number, second: number | string, text: string): string {
	return `${String(first).padStart(5)} ${String(second).padStart(6)}  ${text}`;
}

function print(title: string, rows: readonly string[]): void {
	console.log(`${title}\n${rows.join('\n')}\n`);
}

/** The items of a map, from the words and options that name its input. */

import {createReadStream, fstatSync, openSync} from 'node:fs';
import {resolve} from 'node:path';
import {bad, kindOf} from '../../../internal/words.ts';
import {InputError} from '../../input-error.ts';
import type {Shape} from '../template/replacement.ts';
import type {Source, SourceGroups} from './arguments.ts';
import {combinations, type Tuple, type Values} from './combinations.ts';
import {filesOf, isFile, refuseMangled} from './files.ts';
import {type Entry, type Item, itemsOf, shuffle} from './items.ts';
import {ndjsonOf} from './ndjson.ts';
import {numbersIn, type Range} from './range.ts';
import {atStart, type ByteSource, recordsOf} from './records.ts';

/** The options of a command that name its input, and say how it is read. */
export interface InputOptions {
	readonly stdin?: true;
	readonly null?: true;
	readonly ndjson?: true;
	readonly csv?: true;
	readonly key?: string;
	readonly argFile?: readonly string[];
	readonly range?: Range;
	/** `-n`, and `-N`, which is the same. */
	readonly maxArgs?: number;
	readonly maxReplaceArgs?: number;
	readonly shuf?: true;
	/** False for `--no-run-if-empty`. */
	readonly runIfEmpty?: boolean;
	/** The queue of the run: none of its own files is an item. */
	readonly queue?: string;
}

export interface Input {
	readonly items: readonly Item[] | AsyncIterable<Item>;
	readonly shape: Shape;
	/** Whether the items are files, and their keys the paths. */
	readonly areFiles: boolean;
	/** The paths of an item's files, if globs have named them. */
	readonly filesOf?: (item: Item) => readonly string[];
	/** The paths of files that an item's values name now, from the folder. Whether the item stands for these files, only its user knows. */
	readonly filesAmong?: (item: Item, folder: string) => readonly string[];
	/** True if the command itself has all values. */
	readonly isWritten: boolean;
	/** Stands for the input in the name of a batch. It has no values, since keys identify them. */
	readonly name: readonly string[];
}

/** Opens what the words and options of a command name. It reads only a header, and what is needed again and again. @throws FaenaError `BadOption` */
export async function openInput(words: readonly string[], options: InputOptions, more: SourceGroups = []): Promise<Input> {
	const globs = words.filter(word => word !== '-');
	const groups = groupsOf(options, more, globs.length < words.length);
	const {maxArgs: n, maxReplaceArgs: count = n} = options;
	refuseContradictions(globs, groups, options, count);
	const name = [...(globs.length > 0 ? globs : nameOf(groups, options)), ...(count === undefined ? [] : ['-n', String(count)])];
	const opened = globs.length > 0 ? await openFiles(globs, count, options) : await openGroups(groups, options, count);
	const items = options.shuf ? await shuffle(opened.items) : opened.items;
	const isWritten = globs.length === 0 && groups.flat().every(source => !('file' in source));
	return {...opened, items, isWritten, name};
}

type Opened = Omit<Input, 'name' | 'isWritten'>;
type AnySource = Source | {readonly range: Range};
const STDIN = '-';

function groupsOf(
	{stdin, null: isNull, ndjson, csv, argFile = [], range}: InputOptions,
	more: SourceGroups,
	isNamed: boolean,
): readonly (readonly AnySource[])[] {
	const named = [...(stdin || isNamed ? [{file: STDIN}] : []), ...(range ? [{range}] : []), ...argFile.map(file => ({file}))].map(source => [source]);
	const groups = [...named, ...more];
	return groups.length === 0 && (isNull || ndjson || csv) ? [[{file: STDIN}]] : groups;
}

function refuseContradictions(globs: readonly string[], groups: readonly (readonly AnySource[])[], options: InputOptions, count: number | undefined): void {
	const {null: isNull, ndjson, csv, key, maxArgs, maxReplaceArgs} = options;
	const sources = groups.flat();
	const files = sources.filter(source => 'file' in source);
	const formats = [isNull && '-0', ndjson && '--ndjson', csv && '--csv'].filter(each => each !== undefined);
	const areRecords = ndjson || csv;
	const rules: readonly (readonly [isBroken: boolean | undefined, message: string])[] = [
		[globs.length > 0 && sources.length > 0, `Give either globs or another input: ${globs.join(' ')} is a glob. Values of the command line come after :::.`],
		[globs.length === 0 && groups.length === 0, NO_INPUT],
		[formats.length > 1, `Give only one of ${formats.join(' and ')}.`],
		[areRecords && (files.length !== 1 || sources.length > 1), `${formats[0]} reads stdin or one file, and no other input; name the file with -a.`],
		[isNull && files.length === 0, '-0 says how stdin or a file is read; name it with - or -a.'],
		[key !== undefined && !areRecords, '--key names a field of --ndjson or a column of --csv; give one of them.'],
		[maxArgs !== undefined && maxReplaceArgs !== undefined, 'Give only one of -n and -N.'],
		[key !== undefined && count !== undefined, '--key names one item, but with -n a job has several; leave out one of them.'],
		[files.filter(({file}) => file === STDIN).length > 1, 'Stdin can be read only once; name it once.'],
	];
	const broken = rules.find(([isBroken]) => isBroken);
	if (broken) throw bad(broken[1]);
}

const NO_INPUT =
	"Give globs that name the files, for instance 'photos/*.jpg', - to read lines from stdin, or values after :::. faena map --help lists all inputs.";

function nameOf(groups: readonly (readonly AnySource[])[], {null: isNull, ndjson, csv, key}: InputOptions): readonly string[] {
	const format = [isNull && '-0', ndjson && '--ndjson', csv && '--csv'].filter(each => each !== undefined);
	const names = groups.flatMap(group => group.flatMap((source, index) => [...(index > 0 ? ['+'] : []), ...nameOfSource(source)]));
	// Stdin is what these options read if nothing else is named.
	const isUsual = format.length > 0 && names.length === 1 && names[0] === '--stdin';
	return [...(isUsual ? [] : names), ...format, ...(key === undefined ? [] : ['--key', key])];
}

function nameOfSource(source: AnySource): readonly string[] {
	if ('file' in source) return source.file === STDIN ? ['--stdin'] : ['-a', source.file];
	return ['range' in source ? '--range' : ':::'];
}

async function openFiles(globs: readonly string[], count: number | undefined, {queue}: InputOptions): Promise<Opened> {
	const files = await filesOf(globs, queue === undefined ? undefined : kindOf(queue).isOwnFile(queue));
	if (count !== undefined) {
		const filesOf = ({payload}: Item) => payload as readonly string[];
		return {items: itemsOf(entriesOf([[files]]), count), shape: shapeOf(1, count), areFiles: false, filesOf};
	}
	const items = files.map((path, index) => ({key: path, payload: path, sequence: index + 1}));
	return {items, shape: {kind: 'text'}, areFiles: true, filesOf: ({key}) => [key]};
}

async function openGroups(groups: readonly (readonly AnySource[])[], options: InputOptions, count: number | undefined): Promise<Opened> {
	const {ndjson, csv, key} = options;
	const sources = groups.flat();
	const [first] = sources;
	if ((ndjson || csv) && first && 'file' in first) {
		const bytes = openBytes(first.file);
		const table = csv && (await (await import('./csv.ts')).tableOf(bytes, key));
		const shape: Shape = table ? {kind: 'record', columns: table.columns} : {kind: 'json'};
		return {items: itemsOf(table ? table.entries : ndjsonOf(bytes, key), count), shape, areFiles: false};
	}
	if (first && 'range' in first && sources.length === 1)
		return {items: itemsOf(numberEntriesOf(first.range), count), shape: shapeOf(1, count), areFiles: false};
	const values = groups.map(group => group.map(source => valuesOf(source, options)));
	return {items: itemsOf(entriesOf(values), count), shape: shapeOf(sources.length, count), areFiles: false, filesAmong};
}

function filesAmong({payload}: Item, folder: string): readonly string[] {
	const texts = [payload].flat().filter(value => typeof value === 'string');
	return texts.map(text => resolve(folder, text)).filter(isFile);
}

function shapeOf(sources: number, count: number | undefined): Shape {
	return sources === 1 && count === undefined ? {kind: 'text'} : {kind: 'list', size: sources * (count ?? 1)};
}

/** Numbers are distinct, so each is its key, and none need be remembered. */
async function* numberEntriesOf(range: Range): AsyncGenerator<Iterable<Entry>> {
	yield (function* () {
		for (const number of numbersIn(range)) yield {values: [number], content: String(number), key: String(number)};
	})();
}

async function* entriesOf(groups: readonly (readonly Values[])[]): AsyncGenerator<Iterable<Entry>> {
	for await (const tuples of combinations(groups)) yield toEntries(tuples);
}

function* toEntries(tuples: Iterable<Tuple>): Generator<Entry> {
	for (const values of tuples) yield {values, content: values.length === 1 ? String(values[0]) : JSON.stringify(values)};
}

function valuesOf(source: AnySource, {null: isNull, runIfEmpty}: InputOptions): Values {
	const skips = runIfEmpty === false;
	if ('range' in source) return numbersIn(source.range);
	if ('values' in source) {
		refuseMangled(source.values, 'value');
		return skips ? source.values.filter(isNotBlank) : source.values;
	}
	const records = recordsOf(openBytes(source.file), isNull ? '\0' : '\n');
	return skips ? withoutBlanks(records) : records;
}

async function* withoutBlanks(batches: AsyncIterable<readonly string[]>): AsyncGenerator<readonly string[]> {
	for await (const batch of batches) yield batch.filter(isNotBlank);
}

function isNotBlank(text: string): boolean {
	return text.trim() !== '';
}

/** Opens it now, so that a file that can't be read is refused before anything runs. */
function openBytes(file: string): ByteSource {
	if (file === STDIN) {
		refuseFolder(process.stdin.fd, 'the input');
		return {stream: process.stdin, name: 'the input'};
	}
	const name = `the file ${file}`;
	try {
		const fd = openSync(file, 'r');
		refuseFolder(fd, name);
		return {stream: createReadStream(file, {fd}), name};
	} catch (error) {
		if (error instanceof InputError) throw error;
		throw new InputError(`${atStart(name)} can't be read: ${(error as Error).message}.`, {cause: error});
	}
}

/** Node would read a folder as stdin as an empty input. */
function refuseFolder(fd: number, name: string): void {
	if (fstatSync(fd).isDirectory()) throw new InputError(`${atStart(name)} can't be read: it is a folder.`);
}

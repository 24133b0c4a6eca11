import {bad, nearest} from '../../../internal/words.ts';
/** Replacement strings of a command, such as `{}`, `{.}`, `{2/}` and `{name}`: where they stand, and their values for an item. */

/** What the items of an input look like, as far as it is known before the first one. */
export type Shape =
	/** A text. */
	| {readonly kind: 'text'}
	/** An array of at most so many texts. */
	| {readonly kind: 'list'; readonly size: number}
	/** An object with a text for each column. */
	| {readonly kind: 'record'; readonly columns: readonly string[]}
	/** Any JSON. */
	| {readonly kind: 'json'};

/** A replacement string: what of the item it stands for, and what is left of that. */
export interface Replacement {
	readonly of: 'all' | 'sequence' | 'slot' | {readonly position: number} | {readonly columns: readonly string[]} | {readonly path: readonly string[]};
	readonly part: keyof typeof PARTS;
}

/** The numbers of a run of a command. */
export interface RunNumbers {
	/** `{#}`: the place of the item in the input, from 1. */
	readonly sequence: number;
	/** `{%}`: which of the jobs at a time, from 1. */
	readonly slot: number;
}

/** The parts of a path, by the end of a replacement string. They are those of GNU parallel, but also right for a name with a line feed. */
const PARTS = {
	'': (text: string) => text,
	'.': withoutExtension,
	'/': baseName,
	'//': folderOf,
	'/.': (text: string) => withoutExtension(baseName(text)),
} as const;

function withoutExtension(path: string): string {
	return path.replace(/\.[^/.]*$/, '');
}

function baseName(path: string): string {
	return path.slice(path.lastIndexOf('/') + 1);
}

function folderOf(path: string): string {
	const folder = path.replace(/\/+$/, '').replace(/[^/]*$/, '');
	if (folder === '') return path.startsWith('/') ? '/' : '.';
	return folder.replace(/\/+$/, '') || '/';
}

const BY_POSITION = /^(-?\d+)?(|\.|\/\/|\/\.|\/)$/;
const BY_NAME = /^([^{}\n]*?)(|\.|\/\/|\/\.|\/)$/;
/** Other texts between braces belong to the command: `{print $1}`, `{a,b}`. */
const A_NAME = /^[\p{L}_][\p{L}\p{N}_-]*(?:\.[\p{L}\p{N}_-]+)*$/u;

/** A Perl expression of GNU parallel, from its brace. */
const PERL = /\{(?:-?\d+)?=[\s\S]*?=\}/y;
/** The replacement strings of its `--plus`. `{%s}` and `{%5.2f}` are more often for printf, and `{%Y-%m-%d}` is for date. */
const PLUS =
	/^(?:-?\d+)?(?:\+(?:\/|\.{1,3})|\/?\.{2,3}|[#^].+|%(?![-+ 0#_^]*\d*(?:\.\d+)?[a-zA-Z](?:$|.*%[-_^]?[a-zA-Z])).+|0[#%]|:\d+(?::\d+)?|:-.*|\/\/?[^/]+\/.*|(?:seq|slot)(?:[-+*/%].*)?|choose_k|uniq)$/;
/** Within single quotes, these belong to sed, as in `/a/{/b/d}`, or to Python. */
const OF_OTHERS = /^[/:]/;

/**
 * The replacement string that begins at `start`, with its length; `undefined` if the brace there belongs to the command.
 * @throws FaenaError `BadOption` if the input has no such column or position, or it is one that only GNU parallel has
 */
export function replacementAt(
	text: string,
	start: number,
	shape: Shape,
	isInSingleQuotes = false,
): {readonly replacement: Replacement; readonly length: number} | undefined {
	const end = text.indexOf('}', start);
	if (text[start] !== '{' || end < 0) return undefined;
	const inside = text.slice(start + 1, end);
	const replacement = byName(inside, shape) ?? byPosition(inside, shape);
	if (replacement) return {replacement, length: end + 1 - start};
	PERL.lastIndex = start;
	const perl = PERL.exec(text)?.[0].slice(1, -1);
	if (perl !== undefined) throw otherOfParallel(perl, 'a Perl expression');
	if (PLUS.test(inside) && !(isInSingleQuotes && OF_OTHERS.test(inside))) throw otherOfParallel(inside, 'a replacement string of --plus');
	return undefined;
}

function otherOfParallel(inside: string, what: string): Error {
	return bad(
		`The command has {${inside}}, ${what} of GNU parallel, which faena map does not have. Let the shell do it, for instance: x={}; mv "$x" "\${x%.txt}.bak"; or write a task. ${asItStands(inside)}`,
	);
}

function byPosition(inside: string, shape: Shape): Replacement | undefined {
	if (inside === '#') return {of: 'sequence', part: ''};
	if (inside === '%') return {of: 'slot', part: ''};
	const [, number, part] = BY_POSITION.exec(inside) ?? [];
	if (part === undefined) return undefined;
	if (number === undefined) return {of: allOf(shape), part: part as Replacement['part']};
	const position = Number(number);
	const size = sizeOf(shape);
	if (position === 0 || Math.abs(position) > size) {
		const has = size === 1 ? 'has one value' : `has ${size} values`;
		throw bad(`The command has {${inside}}, but an item of the input ${position === 0 ? 'has no position 0; the first is {1}' : has}. ${asItStands(inside)}`);
	}
	if (shape.kind !== 'record') return {of: {position}, part: part as Replacement['part']};
	return {of: {columns: [shape.columns.at(position > 0 ? position - 1 : position) as string]}, part: part as Replacement['part']};
}

/** All columns of a record are several values; JSON is one, whatever it is. */
function allOf(shape: Shape): Replacement['of'] {
	if (shape.kind === 'record') return {columns: shape.columns};
	return shape.kind === 'json' ? {path: []} : 'all';
}

function sizeOf(shape: Shape): number {
	if (shape.kind === 'list') return shape.size;
	if (shape.kind === 'record') return shape.columns.length;
	return shape.kind === 'text' ? 1 : Infinity;
}

/** Only inputs with names have such replacement strings. A column may have any name, also that of another replacement string. */
function byName(inside: string, shape: Shape): Replacement | undefined {
	if (shape.kind === 'text' || shape.kind === 'list') return undefined;
	const [, name = '', part] = BY_NAME.exec(inside) ?? [];
	if (part === undefined || inside === '') return undefined;
	if (shape.kind === 'json') return A_NAME.test(name) ? {of: {path: name.split('.')}, part: part as Replacement['part']} : undefined;
	if (shape.columns.includes(inside)) return {of: {columns: [inside]}, part: ''};
	if (name !== '' && shape.columns.includes(name)) return {of: {columns: [name]}, part: part as Replacement['part']};
	if (!A_NAME.test(name)) return undefined;
	throw bad(`The command has {${inside}}, but the input has no column ${JSON.stringify(name)}${nearest(name, shape.columns)} ${asItStands(inside)}`);
}

function asItStands(inside: string): string {
	return `If the braces are part of the command, write {''${inside}}.`;
}

/**
 * The values of a replacement string: several for `{}` of several, none for a position that the item doesn't have.
 * @throws Error if the item has no such column or field, or a value can't be an argument of a command
 */
export function valuesOf({of, part}: Replacement, item: unknown, {sequence, slot}: RunNumbers): readonly string[] {
	if (of === 'sequence') return [String(sequence)];
	if (of === 'slot') return [String(slot)];
	return select(of, item).map(value => PARTS[part](toArgument(value)));
}

function select(of: Exclude<Replacement['of'], 'sequence' | 'slot'>, item: unknown): readonly unknown[] {
	const values = Array.isArray(item) ? item : [item];
	if (of === 'all') return values;
	if ('columns' in of) return of.columns.map(name => fieldOf(item, [name]));
	if ('path' in of) return [fieldOf(item, of.path)];
	const index = of.position > 0 ? of.position - 1 : values.length + of.position;
	return index < 0 ? [] : values.slice(index, index + 1);
}

/** The value of a field. Names are those of the item itself: `constructor`, for instance, is none. */
export function fieldOf(item: unknown, path: readonly string[]): unknown {
	let value = item;
	for (const name of path) {
		if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) throw new Error(`The item has no field ${JSON.stringify(path.join('.'))}.`);
		value = (value as Record<string, unknown>)[name];
	}
	return value;
}

/** A whole number of JSON that may be another one in JavaScript, and is printed with all digits; or one that is too large to be a number there. */
export function isInexact(value: unknown): boolean {
	if (value === Infinity || value === -Infinity) return true;
	return Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value as number) < 1e21;
}

/** A text as it is, any other value as JSON. */
function toArgument(value: unknown): string {
	if (isInexact(value)) throw new Error(`A value is the number ${value}, too large to be exact here; write it as a text, in quotes.`);
	const text = typeof value === 'string' ? value : typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? '');
	// Node would end the argument there, or replace the character, and pass on another text than was meant.
	if (text.includes('\0')) throw new Error(`A value has a NUL character, which no argument of a command can have: ${JSON.stringify(text.slice(0, 100))}.`);
	if (!text.isWellFormed()) throw new Error(`A value has half of a surrogate pair, which is no text: ${JSON.stringify(text.slice(0, 100))}.`);
	return text;
}

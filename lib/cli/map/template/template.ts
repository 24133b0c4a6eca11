/** The command of `--sh`, and the command lines that it makes for items. It is plain data, which another thread or process can get as JSON. */

import {bad} from '../../../internal/words.ts';
import {shellQuote} from '../../terminal/shell-quote.ts';
import {type RunNumbers, type Shape, valuesOf} from './replacement.ts';
import {type Hole, type Pieces, scan} from './scan.ts';

export interface Template {
	/** Whether it has `{#}`. Only then do the numbers of items matter. */
	readonly hasSequence: boolean;
	/** The words, if the command needs no shell; otherwise the text for the shell. */
	readonly form: {readonly words: readonly Pieces[]} | {readonly text: Pieces};
}

/** A program to start, with its arguments. */
export interface Command {
	readonly file: string;
	readonly args: readonly string[];
}

/** @throws FaenaError `BadOption` if it isn't a command, or has a replacement string that the input has no value for */
export function parseTemplate(command: string, shape: Shape): Template {
	if (command.trim() === '') throw bad("--sh expects a command, for instance 'gzip -k {}'; it got an empty one.");
	const given = scan(command, shape);
	const {text, words} = hasHoles(given.text) ? given : scan(withValueAtEnd(command), shape);
	if (!hasHoles(text)) throw bad(`The value would be a part of the comment in ${JSON.stringify(command)}. Say where it goes: {} stands for it.`);
	const hasSequence = text.some(each => typeof each !== 'string' && each.of === 'sequence');
	return {hasSequence, form: words ? {words} : {text}};
}

function hasHoles(pieces: Pieces): boolean {
	return pieces.some(each => typeof each !== 'string');
}

/** After these, a shell would run the value as a command. */
const BEFORE_COMMAND = /[;&|(\n]\s*$/;

function withValueAtEnd(command: string): string {
	if (BEFORE_COMMAND.test(command)) throw bad(`At the end of ${JSON.stringify(command)} the value would be a command. Say where it goes: {} stands for it.`);
	return `${command} {}`;
}

/** The program to start for an item. @throws Error if it has no value for a replacement string, or one that can't be an argument */
export function fill({form}: Template, item: unknown, numbers: RunNumbers): Command {
	if ('text' in form) return fillText(form.text, item, numbers);
	const [file, ...args] = form.words.flatMap(word => fillWord(word, item, numbers));
	if (file === undefined || file === '') throw new Error('The command has no name for this item.');
	return {file, args};
}

/**
 * The shell gets the values as its arguments and the text as its program, so that nothing in a value can become a part of the program. The
 * text has variables instead of `$1`, since functions have arguments of their own.
 */
function fillText(pieces: Pieces, item: unknown, numbers: RunNumbers): Command {
	const args: string[] = [];
	const variable = (value: string) => `\${faena_${args.push(value)}}`;
	const text = pieces.map(piece =>
		typeof piece === 'string' ? piece : inText(piece, valuesOf(piece, item, numbers), variable, each => `"${variable(each)}"`),
	);
	const assignments = args.map((_, index) => `faena_${index + 1}=\${${index + 1}}; `);
	return {file: '/bin/sh', args: ['-c', `${assignments.join('')}shift ${args.length}; ${text.join('')}`, 'sh', ...args]};
}

/** The text of the command with the values in it, for people and to paste into a shell. */
export function describeCommand({form}: Template, item: unknown, numbers: RunNumbers): string {
	if ('words' in form) {
		const words = form.words.flatMap(word => fillWord(word, item, numbers));
		return words.map(shellQuote).join(' ');
	}
	const fillHole = (hole: Hole) => inText(hole, valuesOf(hole, item, numbers), shown => `"${shellQuote(shown)}"`, shellQuote);
	return form.text.map(piece => (typeof piece === 'string' ? piece : fillHole(piece))).join('');
}

/** Values within the quotes of the command; `inDouble` and `alone` say how one is written within double quotes, and outside quotes. */
function inText({quotes}: Hole, values: readonly string[], inDouble: (value: string) => string, alone: (value: string) => string): string {
	switch (quotes) {
		case 'none':
			return values.map(alone).join(' ');
		case 'double':
			return inDouble(values.join(' '));
		case 'assignment':
			return alone(values.join(' '));
		case 'single':
			return `'${alone(values.join(' '))}'`;
		case 'arithmetic':
			return wholeNumber(values.join(' '));
	}
}

/** In `$((…))` bash runs commands that a text names. */
function wholeNumber(value: string): string {
	if (/^-?\d+$/.test(value)) return value;
	throw new Error(`In $((…)) a value is a whole number; this is ${JSON.stringify(value.slice(0, 100))}.`);
}

/** As in a shell, several values are several words, and without a value there is none. */
function fillWord(word: Pieces, item: unknown, numbers: RunNumbers): readonly string[] {
	const args: string[] = [];
	let open: string | undefined;
	for (const piece of word) {
		const [first, ...more] = typeof piece === 'string' ? [piece] : wordsFor(piece, item, numbers);
		if (first !== undefined) open = (open ?? '') + first;
		if (more.length === 0) continue;
		args.push(open ?? '', ...more.slice(0, -1));
		open = more.at(-1);
	}
	return open === undefined ? args : [...args, open];
}

function wordsFor(hole: Hole, item: unknown, numbers: RunNumbers): readonly string[] {
	const values = valuesOf(hole, item, numbers);
	return hole.quotes === 'none' ? values : [values.join(' ')];
}

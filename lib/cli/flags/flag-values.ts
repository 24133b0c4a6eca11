/** Values of flags, beside those of `input.ts`. A parser throws what commander shows as the reason for its refusal. */

import {InvalidArgumentError} from 'commander';
import {duration, size} from '../../internal/words.ts';

/** A time with its unit, in milliseconds. Unlike that of a timeout, it is no share of a median, and may be 0. */
export function toDuration(text: string): number {
	return checked(text, /[a-z]\s*$/i.test(text), duration, 'It is a time with its unit, such as 500ms, 30s, 10m, 2h or 7d.');
}

/** A size with its unit, in bytes. */
export function toSize(text: string): number {
	return checked(text, /b\s*$/i.test(text), size, 'It is a size with its unit, such as 64kib, 512mib or 2gib.');
}

function checked(text: string, hasUnit: boolean, check: (value: unknown) => number, what: string): number {
	try {
		if (hasUnit) return check(text);
	} catch {
		// As a text without a unit.
	}
	throw new InvalidArgumentError(what);
}

/** A flag that can be given once: the name of a file that begins with the flag, among those of an unquoted glob, must not replace it. */
export function onlyOnce(text: string, before: string | undefined): string {
	if (before !== undefined) throw new InvalidArgumentError('It was given already, and can be given once.');
	return text;
}

export function toPriority(text: string): number {
	if (/^-?\d{1,6}$/.test(text)) return Number(text);
	throw new InvalidArgumentError('It is a whole number; higher runs first, and most jobs have 0.');
}

export function toMaxDelays(text: string): number {
	if (/^\d{1,6}$/.test(text)) return Number(text);
	throw new InvalidArgumentError('It is a whole number from 0 to 999999.');
}

/** Names of tasks, with commas between. */
export function toNames(text: string): string[] {
	const names = text.split(',').map(name => name.trim());
	if (names.every(name => name !== '')) return names;
	throw new InvalidArgumentError('It is the name of a task, or several with commas between.');
}

/** A parser for several values in one flag, for instance `jobs=1000,age=1h`. */
export function partsOf<Name extends string>(parsers: Readonly<Record<Name, (text: string) => unknown>>): (text: string) => Partial<Record<Name, unknown>> {
	const names = Object.keys(parsers) as Name[];
	return text => {
		const parts: Partial<Record<Name, unknown>> = {};
		for (const part of text.split(',')) {
			const [, name, value] = /^\s*(\w+)=(.+)$/.exec(part) ?? [];
			const known = names.find(each => each === name);
			if (known === undefined || value === undefined)
				throw new InvalidArgumentError(`It is one of ${names.join(', ')}, each with = and a value, with commas between.`);
			parts[known] = parsers[known](value.trim());
		}
		return parts;
	};
}

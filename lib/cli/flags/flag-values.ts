import type {HaltOption} from '../../internal/api.ts';
/** Values of flags. A parser throws what commander shows as the reason for its refusal. */

import {InvalidArgumentError} from 'commander';
import type {StringValue} from 'ms';
import ms from 'ms';
import type {JobId, JobStatus} from '../../index.ts';
import {bad, duration, FaenaError, STATUSES, size} from '../../internal/words.ts';

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

export function toCount(text: string): number {
	if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
	throw new InvalidArgumentError('It is a whole number from 1.');
}

/** A number without a unit is refused: the engine would take it for milliseconds, most people mean seconds. */
export function toTime(text: string): string {
	if (/^\d+(\.\d+)?%$/.test(text) && Number.parseFloat(text) > 100) return text;
	const isTime = /[a-z]\s*$/i.test(text) && text.length < 100 && (ms(text as StringValue) ?? 0) > 0;
	if (isTime) return text;
	throw new InvalidArgumentError('It is a time with its unit, such as 500ms, 30s, 10m or 2h, or more than 100% of the median.');
}

/** A time, in milliseconds since 1970: a date, a date with a time, or how long ago. Without a time zone it is local time. */
export function toPast(text: string): number {
	const ago = /^\d/.test(text) && /[a-z]\s*$/i.test(text) && !text.endsWith('Z') && text.length < 100 ? ms(text as StringValue) : undefined;
	// A date alone would be read as UTC.
	const at = ago !== undefined ? Date.now() - ago : /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text.length === 10 ? `${text}T00:00` : text) : NaN;
	if (Number.isFinite(at)) return at;
	throw new InvalidArgumentError('It is a time such as 2026-11-28, 2026-11-28T14:30 or 2026-11-28T14:30Z, or how long ago, such as 30m, 2h or 7d.');
}

export function toStatuses(text: string): JobStatus[] {
	const names = text.split(',').map(name => name.trim()) as JobStatus[];
	if (names.every(name => (STATUSES as readonly string[]).includes(name))) return names;
	throw new InvalidArgumentError(`It is one of ${STATUSES.join(', ')}, or several with commas between.`);
}

export function toHalt(text: string): HaltOption {
	const [, when, on, at] = /^(now|soon),(fail|success|done)=([1-9]\d{0,8}|\d+(?:\.\d+)?%)$/.exec(text) ?? [];
	if (when === undefined || at === undefined)
		throw new InvalidArgumentError('It is now or soon, then fail, success or done and how many, for instance soon,fail=3 or now,fail=5%.');
	return {when, on, at: at.endsWith('%') ? at : Number(at)} as HaltOption;
}

/** @throws FaenaError `BadOption` */
export function toId(text: string): JobId {
	const id = Number(text);
	if (/^\d+$/.test(text) && Number.isSafeInteger(id) && id > 0) return id;
	throw new FaenaError('BadOption', `A job's id is a positive whole number, such as the "jobId" in the output of faena map; this is ${JSON.stringify(text)}.`);
}

/** @throws FaenaError `BadOption` */
export function toTask(text: string): {readonly module: string; readonly task: string} {
	const [, module, task] = /^(.+)#([^#]+)$/.exec(text) ?? [];
	if (module !== undefined && task !== undefined) return {module, task};
	throw bad(`Name a module and one of its functions, for instance './tasks.ts#thumbnail'; this is ${JSON.stringify(text)}.`);
}

/** Parsers for the values of flags. */

import {InvalidArgumentError} from 'commander';
import ms, {type StringValue} from 'ms';
import type {HaltOption} from '../index.ts';

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

export function toHalt(text: string): HaltOption {
	const [, when, on, at] = /^(now|soon),(fail|success)=([1-9]\d{0,8}|\d+(?:\.\d+)?%)$/.exec(text) ?? [];
	if (when === undefined || at === undefined)
		throw new InvalidArgumentError('It is now or soon, then fail or success and how many, for instance soon,fail=3 or now,fail=5%.');
	return {when, on, at: at.endsWith('%') ? at : Number(at)} as HaltOption;
}

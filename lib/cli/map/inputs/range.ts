import {InvalidArgumentError} from 'commander';

/** Whole numbers, both ends included, as `1..10` and `1..10..3` name them. */
export interface Range {
	readonly from: number;
	readonly to: number;
	/** The distance between two of them, negative if they go down. */
	readonly step: number;
}

const NUMBER = '(-?(?:0|[1-9]\\d{0,15}))';
const RANGE = new RegExp(`^${NUMBER}\\.\\.${NUMBER}(?:\\.\\.([1-9]\\d{0,15}))?$`);

export function toRange(text: string): Range {
	const [from = NaN, to = NaN, distance = 1] = (RANGE.exec(text) ?? []).slice(1).map(each => (each === undefined ? undefined : Number(each)));
	if (![from, to, distance].every(Number.isSafeInteger))
		throw new InvalidArgumentError('It is two whole numbers, and perhaps the distance from one to the next, such as 1..1000 or 0..100..5.');
	return {from, to, step: from > to ? -distance : distance};
}

/** It can be iterated again and again, and takes no memory. */
export function numbersIn({from, to, step}: Range): Iterable<number> {
	return {
		*[Symbol.iterator]() {
			for (let number = from; step > 0 ? number <= to : number >= to; number += step) yield number;
		},
	};
}

import {fuzzDecoder} from './decoder.ts';
import type {Result, Round} from './round.ts';
import {fuzzValues} from './values.ts';

const BY_KIND = {values: fuzzValues, decoder: fuzzDecoder} satisfies Record<string, (round: Round) => Promise<Result>>;

export type Kind = keyof typeof BY_KIND;
export const KINDS = Object.keys(BY_KIND) as Kind[];

export function fuzz(kind: Kind, round: Round): Promise<Result> {
	return BY_KIND[kind](round);
}

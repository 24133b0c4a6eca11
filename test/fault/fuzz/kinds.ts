import {fuzzCli} from './cli.ts';
import {fuzzCommands} from './commands.ts';
import {fuzzDecoder} from './decoder.ts';
import type {Result, Round} from './round.ts';
import {fuzzEngines, fuzzRows} from './rows.ts';
import {fuzzValues} from './values.ts';

interface Fuzz {
	readonly fuzz: (round: Round) => Promise<Result>;
	/** Inputs in a round. */
	readonly most: number;
}

export const KINDS = {
	values: {fuzz: fuzzValues, most: 2000},
	decoder: {fuzz: fuzzDecoder, most: 10_000},
	rows: {fuzz: fuzzRows, most: 500},
	cli: {fuzz: fuzzCli, most: 5000},
	commands: {fuzz: fuzzCommands, most: 50},
	engines: {fuzz: fuzzEngines, most: 100},
} as const satisfies Record<string, Fuzz>;

export type Kind = keyof typeof KINDS;

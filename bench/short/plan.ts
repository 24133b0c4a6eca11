import {cases, type Row} from '../plan/plan.ts';
import type {Case} from '../plan/suite.ts';

/** The cases of `faena bench`, about half a minute a block. They need nothing but the package itself. */
const ROWS: readonly Row[] = [
	{
		trial: 'drain',
		jobs: 100_000,
		lanes: [
			['full', 'bulk', 'faena', 'sqlite'],
			['memory', 'bulk', 'piscina'],
		],
	},
	{trial: 'drain', jobs: 30_000, lanes: [['full', 'default', 'faena']]},
	{trial: 'call', jobs: 1000, lanes: [['full', 'default', 'faena']]},
	{
		...{trial: 'granularity', task: 'spin', workMicros: [100, 1000], runMs: 600},
		lanes: [
			['full', 'bulk', 'faena'],
			['memory', 'bulk', 'ideal', 'piscina'],
		],
	},
];

export const SHORT_PLAN: readonly Case[] = ROWS.flatMap(cases);
export const SHORT_TRIALS: readonly string[] = [...new Set(SHORT_PLAN.map(({trial}) => trial))];

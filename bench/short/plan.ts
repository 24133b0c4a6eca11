import {besidePiscina, cases, type Row} from '../plan/plan.ts';
import type {Case} from '../plan/suite.ts';

/** The cases of `faena bench`, about a minute a block. They need nothing but the package itself. */
const ROWS: readonly Row[] = [
	{
		trial: 'drain',
		jobs: 100_000,
		lanes: [
			['full', 'bulk', 'faena', 'statements'],
			['memory', 'bulk', 'piscina'],
		],
	},
	{trial: 'drain', jobs: 100_000, lanes: besidePiscina('map')},
	...(['default', 'call'] as const).map((intake): Row => ({trial: 'drain', jobs: 20_000, lanes: besidePiscina(intake)})),
	{trial: 'drain', jobs: 1000, lanes: [['full', 'strict', 'faena']]},
	{trial: 'call', jobs: 1000, lanes: [['full', 'default', 'faena']]},
	{
		...{trial: 'granularity', task: 'spin', workMicros: [100, 1000], runMs: 600},
		lanes: [
			['full', 'bulk', 'faena'],
			['memory', 'bulk', 'ideal'],
		],
	},
];

export const SHORT_PLAN: readonly Case[] = ROWS.flatMap(cases);
export const SHORT_TRIALS: readonly string[] = [...new Set(SHORT_PLAN.map(({trial}) => trial))];

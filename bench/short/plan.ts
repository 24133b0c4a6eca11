import {availableParallelism} from 'node:os';
import {cases, type Row} from '../plan.ts';
import type {Case} from '../suite.ts';

const RUN_MS = 600;

/** As many jobs of this size as take all processors so long. */
function jobsOf(workMicros: number): number {
	return Math.ceil((RUN_MS * 1000 * availableParallelism()) / workMicros);
}

/** What `faena bench` measures, in about half a minute a block: what needs nothing but the package itself. */
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
	...[100, 1000].map(
		(workMicros): Row => ({
			...{trial: 'granularity', task: 'spin', workMicros: [workMicros], jobs: jobsOf(workMicros)},
			lanes: [
				['full', 'bulk', 'faena'],
				['memory', 'bulk', 'ideal', 'piscina'],
			],
		}),
	),
];

export const SHORT_PLAN: readonly Case[] = ROWS.flatMap(cases);
export const SHORT_TRIALS: readonly string[] = [...new Set(SHORT_PLAN.map(({trial}) => trial))];

import {appendFileSync, mkdirSync} from 'node:fs';
import {dirname} from 'node:path';
import {nanoid} from 'nanoid';
import {cpuMicrosPerJob, rate} from '../analyse/figures.ts';
import {type NotRun, type Run, readRun} from '../analyse/run.ts';
import {report as allTables} from '../report/markdown.ts';
import {type Order, takeBlocks} from './blocks.ts';
import {describeMachine} from './machine.ts';
import type {Entry} from './suite.ts';

export interface PlanRun extends Omit<Order, 'run' | 'signal'> {
	/** The plan's name, which the results carry. */
	readonly plan: string;
	/** The file to which the results are appended. */
	readonly results: string;
	/** Subjects that can't run, and the reasons. */
	readonly notRun?: readonly NotRun[];
	/** Makes the text that is printed at the end; by default all tables. */
	readonly report?: (run: Run) => string;
}

/** Takes the measurements of a plan, appends each to the results as a line of JSON, and prints the run's tables at the end. */
export async function runPlan({plan, results, notRun = [], report = allTables, ...order}: PlanRun): Promise<void> {
	const run = nanoid(8);
	const entries: Entry[] = [];
	const write = (line: object) => appendFileSync(results, `${JSON.stringify({run, ...line})}\n`);
	mkdirSync(dirname(results), {recursive: true});
	write({plan, seed: order.seed, at: new Date().toISOString(), machine: describeMachine(order.folder)});
	for await (const entry of takeBlocks({run, ...order})) {
		write(entry);
		entries.push(entry);
		process.stderr.write(`${describe(entry)}\n`);
	}
	for (const each of [...notRun, ...neverValid(entries)]) write({notRun: each});
	process.stdout.write(report(readRun(results, run)));
}

/** Cases of which every try was void: it failed, or did not pass its checksum. */
function neverValid(entries: readonly Entry[]): NotRun[] {
	const byCase = Map.groupBy(entries, ({trial, subject, durability, intake, workMicros, revision}) =>
		[trial, subject, durability, intake, workMicros, revision].join(' '),
	);
	return [...byCase.values()].flatMap(own => {
		const last = own.at(-1) as Entry;
		if (own.some(({measurement}) => measurement)) return [];
		return [{subject: last.revision ?? last.subject, reason: `${last.trial}, ${last.durability}, ${last.intake}: ${last.discarded}`}];
	});
}

function describe(entry: Entry): string {
	const {block, trial, subject, durability, intake, workMicros, vary, revision, discarded, measurement} = entry;
	const figures = measurement && [
		`${Math.round(rate({...entry, measurement})).toLocaleString('en')} jobs/s`.padStart(18),
		`${cpuMicrosPerJob({...entry, measurement}).toFixed(1)} µs CPU each`,
	];
	const work = workMicros === 0 ? varied(vary) : `${workMicros} µs`;
	const cells = [`block ${block}`, trial.padEnd(11), (revision ?? subject).padEnd(15), durability.padEnd(6), intake.padEnd(7), work.padStart(9)];
	return [...cells, ...(figures ?? []), discarded ? `discarded: ${discarded}` : ''].join('  ');
}

function varied(vary: Entry['vary'] = {}): string {
	return Object.entries(vary)
		.map(([name, value]) => `${name} ${value}`)
		.join(' ');
}

import {appendFileSync, mkdirSync} from 'node:fs';
import {dirname} from 'node:path';
import {nanoid} from 'nanoid';
import {chanceOf, shuffle} from './chance.ts';
import {roundsPerMicro} from './kernels.ts';
import {describeMachine} from './machine.ts';
import {measure} from './protocol.ts';
import {type Case, type Entry, type Surroundings, totalCpu} from './suite.ts';

export interface PlanRun {
	/** The plan's name, which the results carry. */
	readonly plan: string;
	readonly cases: readonly Case[];
	readonly blocks: number;
	readonly seed: number;
	/** Where databases go. */
	readonly folder: string;
	/** The file to which the results are appended. */
	readonly results: string;
	readonly counter?: Surroundings['counter'];
	/** What a case has beside it: only the servers that it uses are counted. */
	readonly serversOf?: (given: Case) => Surroundings['servers'];
	/** What is known not to run, and why. */
	readonly notRun?: readonly NotRun[];
}

export interface NotRun {
	readonly subject: string;
	readonly reason: string;
}

/** Takes the measurements of a plan, each in a fresh process, and appends each to the results as a line of JSON. */
export async function runPlan({plan, cases, blocks, seed, folder, results, counter, serversOf, notRun = []}: PlanRun): Promise<void> {
	const run = nanoid(8);
	const chance = chanceOf(seed);
	const entries: Entry[] = [];
	const write = (line: object) => appendFileSync(results, `${JSON.stringify({run, ...line})}\n`);
	mkdirSync(dirname(results), {recursive: true});
	write({plan, seed, at: new Date().toISOString(), machine: describeMachine(folder)});
	for (let block = 1; block <= blocks; block++) {
		const surroundings: Surroundings = {folder, seed: seed + block, roundsPerMicro: calibrate(), ...(counter && {counter})};
		for (const each of shuffle(cases, chance)) {
			const servers = serversOf?.(each);
			for await (const entry of measure(each, {...surroundings, ...(servers && {servers})}, {run, block})) {
				write(entry);
				entries.push(entry);
				process.stderr.write(`${describe(entry)}\n`);
			}
		}
	}
	for (const each of [...notRun, ...neverValid(entries)]) {
		write({notRun: each});
		process.stderr.write(`not run: ${each.subject}: ${each.reason}\n`);
	}
}

/** Cases whose every run was void: it failed, or did not pass its checksum. */
function neverValid(entries: readonly Entry[]): NotRun[] {
	const byCase = Map.groupBy(entries, ({trial, subject, durability, intake, workMicros}) => [trial, subject, durability, intake, workMicros].join(' '));
	return [...byCase.values()].flatMap(own => {
		const last = own.at(-1) as Entry;
		if (own.some(({measurement}) => measurement)) return [];
		return [{subject: last.subject, reason: `${last.trial}, ${last.durability}, ${last.intake}: ${last.discarded}`}];
	});
}

function calibrate(): Surroundings['roundsPerMicro'] {
	return {identity: 0, spin: roundsPerMicro('spin'), sha256: roundsPerMicro('sha256'), json: roundsPerMicro('json')};
}

function describe({block, trial, subject, durability, intake, workMicros, jobs, discarded, measurement}: Entry): string {
	const figures = measurement && [
		`${Math.round((jobs / measurement.wallMs) * 1000).toLocaleString('en')} jobs/s`.padStart(18),
		`${(totalCpu(measurement.cpu) / jobs).toFixed(1)} µs CPU each`,
	];
	const work = workMicros === 0 ? '' : `${workMicros} µs`;
	const cells = [`block ${block}`, trial.padEnd(11), subject.padEnd(15), durability.padEnd(6), intake.padEnd(7), work.padStart(9)];
	return [...cells, ...(figures ?? []), discarded ? `discarded: ${discarded}` : ''].join('  ');
}

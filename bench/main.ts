/**
 * Takes the measurements of a plan, each in a fresh process, appends each to the results as a line of JSON, and prints the
 * run's tables in the end.
 */
import {appendFileSync, mkdirSync} from 'node:fs';
import {dirname, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {nanoid} from 'nanoid';
import {takeBlocks} from './blocks.ts';
import {describeMachine} from './machine.ts';
import {PLANS} from './plan.ts';
import {report} from './report/markdown.ts';
import {readRun} from './run.ts';
import {type Case, type Entry, totalCpu} from './suite.ts';
import {compileSyncCounter} from './sync-counter.ts';

const RESULTS = fileURLToPath(new URL('./results/', import.meta.url));

const {plan: name, ...values} = parse();
const plan = PLANS[name] as (typeof PLANS)[string];
const cases = plan.cases.filter(({trial, subject}) => (values.trial?.includes(trial) ?? true) && (values.subject?.includes(subject) ?? true));
const folder = resolve(values.folder);
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
const run = nanoid(8);
const file = resolve(values.results ?? `${RESULTS}${name}.jsonl`);
mkdirSync(dirname(file), {recursive: true});
write({run, plan: name, seed, at: new Date().toISOString(), machine: describeMachine(folder)});

using counter = compileSyncCounter();
const order = {
	...{run, folder, seed, cases},
	blocks: Number(values.blocks ?? plan.blocks),
	...(counter.library && {counter: {library: counter.library, file: counter.file as string}}),
};
for await (const entry of takeBlocks(order)) {
	write(entry);
	process.stderr.write(`${describe(entry)}\n`);
}
process.stdout.write(report(readRun(file, run)));

function write(line: object): void {
	appendFileSync(file, `${JSON.stringify(line)}\n`);
}

function describe({block, trial, subject, durability, intake, workMicros, jobs, discarded, measurement}: Entry): string {
	const figures = measurement && [
		`${Math.round((jobs / measurement.wallMs) * 1000).toLocaleString('en')} jobs/s`.padStart(18),
		`${(totalCpu(measurement.cpu) / jobs).toFixed(1)} µs CPU each`,
	];
	const work = workMicros === 0 ? '' : `${workMicros} µs`;
	const cells = [`block ${block}`, trial.padEnd(11), subject.padEnd(14), durability.padEnd(6), intake.padEnd(7), work.padStart(9)];
	return [...cells, ...(figures ?? []), discarded ? `discarded: ${discarded}` : ''].join('  ');
}

function parse() {
	try {
		const {values: given} = parseArgs({
			options: {
				plan: {type: 'string', default: 'quick'},
				blocks: {type: 'string'},
				trial: {type: 'string', multiple: true},
				subject: {type: 'string', multiple: true},
				seed: {type: 'string'},
				folder: {type: 'string', default: process.cwd()},
				results: {type: 'string'},
			},
		});
		const plan = PLANS[given.plan];
		if (!plan) throw new Error(`--plan is one of ${Object.keys(PLANS).join(', ')}; it got ${given.plan}`);
		if (given.blocks !== undefined && !/^[1-9]\d{0,2}$/.test(given.blocks)) throw new Error(`--blocks is a whole number from 1 to 999; it got ${given.blocks}`);
		if (given.seed !== undefined && !/^\d{1,9}$/.test(given.seed)) throw new Error(`--seed is a whole number below 1,000,000,000; it got ${given.seed}`);
		for (const option of ['trial', 'subject'] as const) check(option, given[option], plan.cases);
		return given;
	} catch (error) {
		console.error((error as Error).message);
		process.exit(2);
	}
}

function check(option: 'trial' | 'subject', wanted: readonly string[] | undefined, known: readonly Case[]): void {
	const names = [...new Set(known.map(each => each[option]))];
	const unknown = wanted?.find(name => !names.includes(name));
	if (unknown !== undefined) throw new Error(`--${option} is one of ${names.join(', ')}; it got ${unknown}`);
}

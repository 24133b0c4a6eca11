import {resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {FOLDER} from './folder.ts';
import {PLANS} from './plan.ts';
import type {PlanRun} from './run-plan.ts';
import type {Case} from './suite.ts';

const RESULTS = fileURLToPath(new URL('results/', FOLDER));

/** What the command line asks for. Bad options end the process with a sentence and code 2. */
export function optionsOf(usualPlan: string): PlanRun {
	try {
		return parse(usualPlan);
	} catch (error) {
		console.error((error as Error).message);
		process.exit(2);
	}
}

function parse(usualPlan: string): PlanRun {
	const {values} = parseArgs({
		options: {
			plan: {type: 'string', default: usualPlan},
			blocks: {type: 'string'},
			jobs: {type: 'string'},
			trial: {type: 'string', multiple: true},
			subject: {type: 'string', multiple: true},
			seed: {type: 'string'},
			folder: {type: 'string', default: process.cwd()},
			results: {type: 'string'},
		},
	});
	const plan = PLANS[values.plan];
	if (!plan) throw new Error(`--plan is one of ${Object.keys(PLANS).join(', ')}; it got ${values.plan}`);
	if (values.blocks !== undefined && !/^[1-9]\d{0,2}$/.test(values.blocks))
		throw new Error(`--blocks is a whole number from 1 to 999; it got ${values.blocks}`);
	if (values.jobs !== undefined && !/^[1-9]\d{0,7}$/.test(values.jobs)) throw new Error(`--jobs is a whole number from 1 to 99,999,999; it got ${values.jobs}`);
	if (values.seed !== undefined && !/^\d{1,9}$/.test(values.seed)) throw new Error(`--seed is a whole number below 1,000,000,000; it got ${values.seed}`);
	for (const option of ['trial', 'subject'] as const) check(option, values[option], plan.cases);
	return {
		plan: values.plan,
		cases: plan.cases
			.filter(({trial, subject}) => (values.trial?.includes(trial) ?? true) && (values.subject?.includes(subject) ?? true))
			.map(each => (values.jobs === undefined ? each : {...each, jobs: Number(values.jobs)})),
		...(plan.notRun && {notRun: plan.notRun}),
		blocks: Number(values.blocks ?? plan.blocks),
		seed: Number(values.seed ?? Date.now() % 2 ** 31),
		folder: resolve(values.folder),
		results: resolve(values.results ?? `${RESULTS}${values.plan}.jsonl`),
	};
}

function check(option: 'trial' | 'subject', wanted: readonly string[] | undefined, known: readonly Case[]): void {
	const names = [...new Set(known.map(each => each[option]))];
	const unknown = wanted?.find(name => !names.includes(name));
	if (unknown !== undefined) throw new Error(`--${option} is one of ${names.join(', ')}; it got ${unknown}`);
}

import {resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {compareRevisions} from '../report/compare.ts';
import {FOLDER} from './folder.ts';
import {CAPACITY_PER_SECOND, PLANS, type PlannedCase} from './plan.ts';
import {buildRevision} from './revision.ts';
import type {PlanRun} from './run-plan.ts';
import type {Case} from './suite.ts';

const RESULTS = fileURLToPath(new URL('results/', FOLDER));
/** Comparisons have a file of their own, because they also measure another revision. */
const COMPARISONS = fileURLToPath(new URL('../dist-bench/compare.jsonl', FOLDER));

const NUMBERS = {
	blocks: {pattern: /^[1-9]\d{0,2}$/, what: 'from 1 to 999'},
	jobs: {pattern: /^[1-9]\d{0,7}$/, what: 'from 1 to 99,999,999'},
	seed: {pattern: /^\d{1,9}$/, what: 'below 1,000,000,000'},
	'warm-up': {pattern: /^\d{1,5}$/, what: 'of milliseconds below 100,000'},
} as const;

/** Reads the command line. A bad option ends the process with a sentence and exit code 2. */
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
			'warm-up': {type: 'string'},
			compare: {type: 'string'},
		},
	});
	const plan = PLANS[values.plan];
	if (!plan) throw new Error(`--plan is one of ${Object.keys(PLANS).join(', ')}; it got ${values.plan}`);
	for (const [option, {pattern, what}] of Object.entries(NUMBERS)) {
		const value = values[option as keyof typeof NUMBERS];
		if (value !== undefined && !pattern.test(value)) throw new Error(`--${option} is a whole number ${what}; it got ${value}`);
	}
	for (const option of ['trial', 'subject'] as const) check(option, values[option], plan.cases);
	const cases = plan.cases
		.filter(({trial, subject}) => (values.trial?.includes(trial) ?? true) && (values.subject?.includes(subject) ?? true))
		.map(each => (values.jobs === undefined ? each : {...each, jobs: Number(values.jobs)}));
	return {
		plan: values.plan,
		cases,
		...warmUpOf(values),
		...(plan.notRun && {notRun: plan.notRun}),
		...(values.compare !== undefined && comparison(cases, values.compare)),
		blocks: Number(values.blocks ?? plan.blocks),
		seed: Number(values.seed ?? Date.now() % 2 ** 31),
		folder: resolve(values.folder),
		results: resolve(values.results ?? (values.compare === undefined ? `${RESULTS}${values.plan}.jsonl` : COMPARISONS)),
	};
}

/** Faena's cases, each twice: for this code and for the other revision. */
function comparison(cases: readonly PlannedCase[], name: string): Pick<PlanRun, 'cases' | 'notRun' | 'report'> {
	const own = cases.filter(({subject}) => subject === 'faena');
	if (own.length === 0) throw new Error('--compare measures Faena, but the other options leave none of its cases');
	const revision = buildRevision(name);
	return {cases: own.map(atOneRate).flatMap(each => [each, {...each, revision}]), notRun: [], report: compareRevisions};
}

/** A share of its own capacity would give the faster revision more jobs a second, and compare latencies at two loads. */
function atOneRate(given: PlannedCase): PlannedCase {
	const share = given.vary?.['share'];
	return share === undefined ? given : {...given, vary: {perSecond: share * CAPACITY_PER_SECOND}};
}

/** With `--jobs` a run is only a quick look, in which a whole warm-up would take most of the time. */
function warmUpOf({'warm-up': warmUp, jobs}: {readonly 'warm-up'?: string; readonly jobs?: string}): Pick<PlanRun, 'warmUpMs'> {
	if (warmUp !== undefined) return {warmUpMs: Number(warmUp)};
	return jobs === undefined ? {} : {warmUpMs: 100};
}

function check(option: 'trial' | 'subject', wanted: readonly string[] | undefined, known: readonly Case[]): void {
	const names = [...new Set(known.map(each => each[option]))];
	const unknown = wanted?.find(name => !names.includes(name));
	if (unknown !== undefined) throw new Error(`--${option} is one of ${names.join(', ')}; it got ${unknown}`);
}

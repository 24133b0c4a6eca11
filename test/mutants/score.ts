/**
 * `npm run mutation-score -- [--language SQL | TypeScript] [--mutants 300] [--seed 1] [--minutes M] [--at-once 2] [--results FILE]`: makes mutants of dispatcher,
 * store and pool, but for what looks for processes to kill, by the operators of `operators.ts` and, of the SQL of both stores, of `sql-operators.ts`, draws some of them, and runs each
 * against the tests of its folder until one fails.
 * A line of JSON for each mutant is added to the results; a mutant with a line there is not run again unless its source has changed.
 * Prints the score with its 95 % interval, and each survivor. A survivor may be equivalent to the code; it counts all the same.
 * Ends with 1 if a test fails without a mutant, or if the whole interval lies below the least score.
 */
import {createHash} from 'node:crypto';
import {appendFileSync, existsSync, mkdirSync, readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {parseArgs} from 'node:util';
import {seeded, shuffled} from '../fixtures/random.ts';
import {inParallel} from './in-parallel.ts';
import {type Mutation, mutate, mutationsOf, mutationsOfStatements, toJavaScript} from './operators.ts';
import {requireOwnPids} from './own-pids.ts';
import {serving} from './serving.ts';
import {sqlMutationsOf} from './sql-operators.ts';
import {type Failure, FOLDERS, ROOT, runSuite, scoredFiles, suitesOf} from './suites.ts';
import {wilson} from './wilson.ts';

interface Mutant extends Mutation {
	readonly file: string;
	readonly javaScript: string;
	/** Names the mutant, and its source as it was. */
	readonly id: string;
}

/** A line of the results. */
interface Judged {
	readonly id: string;
	readonly place: string;
	readonly operator: string;
	readonly from: string;
	readonly to: string;
	readonly killer: Failure | null;
	readonly seconds: number;
}

requireOwnPids();

const {values} = parseArgs({
	options: {
		language: {type: 'string', default: 'TypeScript'},
		mutants: {type: 'string', default: '300'},
		seed: {type: 'string', default: '1'},
		minutes: {type: 'string', default: 'Infinity'},
		'at-once': {type: 'string', default: '2'},
		results: {type: 'string', default: 'test/mutants/results/score.jsonl'},
	},
});
const LEAST_SCORE = 0.85;
const seed = Number(values.seed);
/** The same for all mutants, so that a kill is the mutant's doing. */
const env = {FAENA_SEED: values.seed, FAENA_EVENTS: '10000', FAENA_RUNS: '100'};
/** Without a mutant, tests are slow only because the machine is busy. */
const PATIENT = {idleMs: 300_000, limitMs: 900_000};
const endsAt = performance.now() + Number(values.minutes) * 60_000;

const isSql = values.language === 'SQL';
const all = scoredFiles()
	.flatMap(mutantsOf)
	.filter(({operator}) => operator.startsWith('SQL') === isSql);
const sample = shuffled(seeded(seed), all).slice(0, Number(values.mutants));
const judged = readResults();
const left = sample.filter(({id}) => !judged.has(id));
console.log(`${all.length} mutants, ${sample.length} drawn with seed ${seed}, ${sample.length - left.length} judged before.`);
const secondsOf = await runWithoutMutant(new Set(left.flatMap(({file}) => suitesOf(file))));
await inParallel(Number(values['at-once']), left, async mutant => {
	if (performance.now() > endsAt) return;
	keep(await judge(mutant));
});
report(sample.flatMap(({id}) => judged.get(id) ?? []));

function mutantsOf(file: string): Mutant[] {
	const source = readFileSync(join(ROOT, file), 'utf8');
	const javaScript = file.endsWith('.sql') ? source : toJavaScript(source);
	const version = createHash('sha256').update(javaScript).digest('hex').slice(0, 12);
	const mutations = file.endsWith('.sql')
		? sqlMutationsOf(source)
		: [...mutationsOf(javaScript), ...(file.endsWith('.sql.ts') ? mutationsOfStatements(javaScript) : [])];
	return mutations.map(mutation => ({
		...mutation,
		file,
		javaScript,
		id: `${file}@${version}:${mutation.start}-${mutation.end} ${mutation.operator}`,
	}));
}

function readResults(): Map<string, Judged> {
	if (!existsSync(values.results)) mkdirSync(dirname(values.results), {recursive: true});
	const lines = existsSync(values.results) ? readFileSync(values.results, 'utf8').split('\n').filter(Boolean) : [];
	return new Map(lines.map(line => JSON.parse(line) as Judged).map(each => [each.id, each]));
}

function keep(each: Judged): void {
	judged.set(each.id, each);
	appendFileSync(values.results, `${JSON.stringify(each)}\n`);
	console.log(`${each.killer ? 'killed  ' : 'SURVIVED'} ${describe(each)}${each.killer ? ` — ${each.killer.suite}` : ''}, ${each.seconds} s`);
}

/** How long each suite takes by itself. A suite that fails without a mutant can judge none. */
async function runWithoutMutant(suites: ReadonlySet<string>): Promise<ReadonlyMap<string, number>> {
	const seconds = new Map<string, number>();
	await inParallel(Number(values['at-once']), suites, async suite => {
		const begunAt = performance.now();
		const failure = await runSuite(suite, {env, ...PATIENT});
		if (failure) throw new Error(`Without a mutant, ${suite} fails: ${failure.title}`);
		seconds.set(suite, (performance.now() - begunAt) / 1000);
	});
	return seconds;
}

async function judge(mutant: Mutant): Promise<Judged> {
	const {file, javaScript, id, operator, start, end, put} = mutant;
	const begunAt = performance.now();
	const killer = await killerOf(file, serving(file, mutate(javaScript, mutant)));
	const lines = javaScript.slice(0, start).split('\n');
	return {
		id,
		place: `${file}:${lines.length}:${(lines.at(-1)?.length ?? 0) + 1}`,
		operator,
		from: inLine(javaScript.slice(start, end)),
		to: inLine(put),
		killer: killer ?? null,
		seconds: Math.round((performance.now() - begunAt) / 1000),
	};
}

async function killerOf(file: string, preload: URL): Promise<Failure | undefined> {
	for (const suite of bestFirst(suitesOf(file))) {
		const options = {env, preload, idleMs: 30_000, limitMs: 60_000 + 4000 * (secondsOf.get(suite) ?? 0)};
		const failure = await runSuite(suite, options);
		// A test that fails only once may have failed because the machine is busy.
		if (failure && (await runSuite(suite, {...options, title: failure.title}))) return failure;
	}
	return undefined;
}

/** First the suites that have found much for the time that they take. */
function bestFirst(suites: readonly string[]): string[] {
	const found = new Map<string, number>();
	for (const {killer} of judged.values()) if (killer) found.set(killer.suite, (found.get(killer.suite) ?? 0) + 1);
	const cost = (suite: string) => (secondsOf.get(suite) ?? 0) / (1 + (found.get(suite) ?? 0));
	return suites.toSorted((one, other) => cost(one) - cost(other));
}

function report(results: readonly Judged[]): void {
	const survivors = results.filter(({killer}) => killer === null);
	const killed = results.length - survivors.length;
	for (const folder of FOLDERS) {
		const ofFolder = results.filter(({place}) => place.startsWith(`${folder}/`));
		console.log(`${folder}: ${ofFolder.filter(({killer}) => killer).length} of ${ofFolder.length}`);
	}
	if (survivors.length > 0) console.log(`\nSurvivors:\n${survivors.map(describe).join('\n')}\n`);
	const [low, high] = wilson(killed, results.length);
	console.log(
		`Mutation score of ${values.language}: ${percent(killed / results.length)} (${killed} of ${results.length}), 95 % interval ${percent(low)} to ${percent(high)}.`,
	);
	if (high < LEAST_SCORE) process.exitCode = 1;
}

function describe({place, operator, from, to}: Judged): string {
	return `${place} ${operator}: ${from} → ${to}`;
}

function inLine(text: string): string {
	const line = text.replaceAll(/\s+/g, ' ');
	return line.length > 80 ? `${line.slice(0, 80)}…` : line;
}

function percent(share: number): string {
	return `${(100 * share).toFixed(1)} %`;
}

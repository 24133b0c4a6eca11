/**
 * `npm run bad-jobs -- --jobs 10000 --seed 1 [--isolation process,thread] [--results FILE]`: so many executions of bad jobs
 * among three times as many good ones, in rounds of 200, one seed after the other. A line of JSON for each is appended to
 * the results; a job that ends otherwise than it should ends the run.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {keep} from '../results.ts';
import {type Round, run} from './round.ts';

const {values} = parseArgs({
	options: {
		jobs: {type: 'string', default: '1000'},
		seed: {type: 'string', default: String(Date.now() % 2 ** 31)},
		isolation: {type: 'string', default: 'process,thread'},
		results: {type: 'string', default: 'bad-jobs.jsonl'},
	},
});
const PER_ROUND = 200;
const isolations = values.isolation.split(',') as Round['isolation'][];

let left = Number(values.jobs);
for (let seed = Number(values.seed); left > 0; seed++) {
	const round = {seed, isolation: isolations[seed % isolations.length] as Round['isolation'], executions: Math.min(left, PER_ROUND)};
	const folder = mkdtempSync(join(tmpdir(), 'faena-bad-jobs-'));
	const begunAt = performance.now();
	const {good, bad, broken} = await run(round, folder);
	const executions = Object.values(bad).reduce((sum, each) => sum + each, 0);
	left -= executions;
	keep(values.results, {...round, executions, good, seconds: Math.round((performance.now() - begunAt) / 1000), bad, broken});
	if (broken.length > 0) {
		console.error(`${broken.join('\n')}\nSee ${folder}\nAgain: npm run bad-jobs -- --jobs ${round.executions} --seed ${seed} --isolation ${round.isolation}`);
		process.exit(1);
	}
	rmSync(folder, {recursive: true});
}

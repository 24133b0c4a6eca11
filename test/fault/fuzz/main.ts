/**
 * `npm run fuzz -- --runs 100000 --seed 1 [--what values,decoder,rows,cli,commands,engines] [--results FILE]`: so many generated inputs of each
 * kind, in rounds, one seed after the other. A line of JSON for each round is appended to the results; a round that finds
 * something ends the run: its seed and number of runs find it again.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {keep} from '../results.ts';
import {KINDS, type Kind} from './kinds.ts';

const {values} = parseArgs({
	options: {
		runs: {type: 'string', default: '10000'},
		seed: {type: 'string', default: String(Date.now() % 2 ** 31)},
		what: {type: 'string', default: Object.keys(KINDS).join()},
		results: {type: 'string', default: 'fuzz.jsonl'},
	},
});
for (const what of values.what.split(',') as Kind[]) {
	const {fuzz, most} = KINDS[what];
	let left = Number(values.runs);
	for (let seed = Number(values.seed); left > 0; seed++) {
		const runs = Math.min(left, most);
		left -= runs;
		const folder = mkdtempSync(join(tmpdir(), 'faena-fuzz-'));
		const begunAt = performance.now();
		const {counts, broken} = await fuzz({seed, runs, folder});
		keep(values.results, {what, seed, runs, seconds: Math.round((performance.now() - begunAt) / 1000), counts, broken});
		if (broken.length > 0) {
			console.error(`${broken.join('\n')}\nAgain: npm run fuzz -- --what ${what} --seed ${seed} --runs ${runs}`);
			process.exit(1);
		}
		rmSync(folder, {recursive: true});
	}
}

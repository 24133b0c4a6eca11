/**
 * `npm run fuzz -- --runs 100000 --seed 1 [--what values,decoder,rows,engines] [--results FILE]`: so many generated inputs of each
 * kind, in rounds, one seed after the other. A line of JSON for each round is appended to the results; a round that finds
 * something ends the run: its seed and number of runs find it again.
 */
import {appendFileSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
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
		const line = JSON.stringify({what, seed, runs, seconds: Math.round((performance.now() - begunAt) / 1000), counts, broken});
		appendFileSync(values.results, `${line}\n`);
		console.log(line);
		if (broken.length > 0) {
			console.error(`${broken.join('\n')}\nAgain: npm run fuzz -- --what ${what} --seed ${seed} --runs ${runs}`);
			process.exit(1);
		}
		rmSync(folder, {recursive: true});
	}
}

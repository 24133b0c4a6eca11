/**
 * `npm run byte-flips -- --runs 10000 --seed 1`: flips bytes of a closed database, opens what is left and works with it; a line of JSON
 * for each thousand is added to `byte-flips.jsonl`. Ends with 1 if something came of one that must not.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {keep} from '../results.ts';
import {flipMany} from './flips.ts';

const {values} = parseArgs({
	options: {
		runs: {type: 'string', default: '1000'},
		seed: {type: 'string', default: String(Date.now() % 2 ** 31)},
		results: {type: 'string', default: 'byte-flips.jsonl'},
	},
});
const PER_LINE = 1000;

const folder = mkdtempSync(join(tmpdir(), 'faena-byte-flips-'));
for (let seed = Number(values.seed), left = Number(values.runs); left > 0; seed += PER_LINE, left -= PER_LINE) {
	const {broken, ...figures} = await flipMany(folder, {seed, runs: Math.min(left, PER_LINE)});
	keep(values.results, {...figures, broken: broken.length});
	for (const {seed, broken: sentences} of broken.slice(0, 20)) console.error(`${sentences.join('\n')}\nAgain: npm run byte-flips -- --runs 1 --seed ${seed}`);
	if (broken.length > 0) process.exitCode = 1;
}
rmSync(folder, {recursive: true});

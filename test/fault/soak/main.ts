/** `npm run soak -- --minutes 60 [--results FILE]`: appends a line of JSON for each round, and ends with how much was held early and late, and with 1 if that rose. */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {keep} from '../results.ts';
import {leaksOf, type Sample, soak} from './soak.ts';

const {values} = parseArgs({options: {minutes: {type: 'string', default: '60'}, results: {type: 'string', default: 'soak.jsonl'}}});
const folder = mkdtempSync(join(tmpdir(), 'faena-soak-'));
const samples: Sample[] = [];
await soak(join(folder, 'jobs.db'), Number(values.minutes), sample => {
	samples.push(sample);
	keep(values.results, sample);
});
const [early, late] = [samples[Math.floor(samples.length / 4)], samples.at(-1)];
console.log(JSON.stringify({rounds: samples.length, early, late}, undefined, '\t'));
rmSync(folder, {recursive: true});
const leaks = leaksOf(samples);
if (leaks.length > 0) {
	console.error(leaks.join('\n'));
	process.exitCode = 1;
}

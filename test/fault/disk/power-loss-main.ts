/**
 * `npm run power-loss -- --states 100000 --seed 1`: records a run, loses power after each of its calls again and again, and
 * holds what is left on the disk to what the program was told. Ends with 1 if a promise was broken; or if none is with `durability: 'normal'`.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {keep} from '../results.ts';
import {losePower, record} from './power-loss.ts';

const {values} = parseArgs({
	options: {
		states: {type: 'string', default: '10000'},
		seed: {type: 'string', default: String(Date.now() % 2 ** 31)},
		results: {type: 'string', default: 'power-loss.jsonl'},
	},
});
const folder = mkdtempSync(join(tmpdir(), 'faena-power-loss-'));
for (const durability of ['full', 'normal'] as const) {
	const calls = await record(join(folder, durability), durability);
	const seed = Number(values.seed);
	const begunAt = performance.now();
	// The control needs less to prove its point.
	const states = Number(values.states) / (durability === 'full' ? 1 : 10);
	const {broken, ...figures} = await losePower(folder, calls, {perMoment: Math.ceil(states / calls.length), seed});
	const lost = broken.filter(promise => /^(Lost|Forgotten)/.test(promise)).length;
	keep(values.results, {durability, seed, seconds: Math.round((performance.now() - begunAt) / 1000), ...figures, broken: broken.length, lost});
	const unexpected = durability === 'full' ? broken : broken.filter(promise => !/^(Lost|Forgotten)/.test(promise));
	for (const promise of unexpected.slice(0, 20)) console.error(promise);
	if (unexpected.length === 0 && (durability === 'full' || lost > 0)) continue;
	console.error(`Again: npm run power-loss -- --states ${values.states} --seed ${seed}`);
	process.exitCode = 1;
}
rmSync(folder, {recursive: true});

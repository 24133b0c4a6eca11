/**
 * `npm run simulate -- --seed N --events M [--trace] [--results FILE]`: simulated worlds, one after the other, from that seed on,
 * until there were so many events. A line of JSON is appended to the results. Ends with 1 if a law was broken.
 */
import {parseArgs} from 'node:util';
import {keep} from '../fault/results.ts';
import {runWorlds} from './worlds.ts';

const {values} = parseArgs({
	options: {
		seed: {type: 'string', default: String(Date.now() % 2 ** 31)},
		events: {type: 'string', default: '1000000'},
		trace: {type: 'boolean'},
		results: {type: 'string', default: 'simulate.jsonl'},
	},
});
const begunAt = performance.now();
const {figures, broken} = await runWorlds(
	Number(values.seed),
	Number(values.events),
	values.trace ? line => void process.stdout.write(`${line}\n`) : undefined,
);
if (broken !== undefined) console.error(broken);
keep(values.results, {...figures, seconds: Math.round((performance.now() - begunAt) / 1000), broken: broken === undefined ? [] : [broken]});
if (broken !== undefined) process.exitCode = 1;

/** Takes one measurement in this process and prints it as JSON: `node bench/one.ts CASE SURROUNDINGS`, both in JSON. */
import type {Case, Measurement, Surroundings} from './plan/suite.ts';
import {TRIALS} from './trials/index.ts';

const [given, surroundings] = process.argv.slice(2).map(text => JSON.parse(text)) as [Case, Surroundings];
const run = TRIALS[given.trial];
if (!run) throw new Error(`There is no trial ${given.trial}; there are ${Object.keys(TRIALS).join(', ')}`);
const measurement: Measurement = await run(given, surroundings);
process.stdout.write(`${JSON.stringify(measurement)}\n`);

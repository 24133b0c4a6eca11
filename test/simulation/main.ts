/** `npm run simulate -- --seed N --events M [--trace]`: simulated worlds, one after the other, from that seed on, until there were so many events. */
import {parseArgs} from 'node:util';
import {runWorlds} from './worlds.ts';

const {values} = parseArgs({
	options: {seed: {type: 'string', default: String(Date.now() % 2 ** 31)}, events: {type: 'string', default: '1000000'}, trace: {type: 'boolean'}},
});
const result = await runWorlds(Number(values.seed), Number(values.events), values.trace ? line => void process.stdout.write(`${line}\n`) : undefined);
process.stdout.write(`${result.text}\n`);
if (result.isBroken) process.exitCode = 1;

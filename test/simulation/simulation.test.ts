import {env} from 'node:process';
import test from 'ava';
import {runWorlds} from './worlds.ts';

const seed = Number(env['FAENA_SEED'] ?? Date.now() % 2 ** 31);
const events = Number(env['FAENA_EVENTS'] ?? 200_000);

test('whatever befalls the engines of a host, nothing is lost, nothing is done twice, and nothing is stuck', async t => {
	t.timeout(900_000);
	const {figures, broken} = await runWorlds(seed, events);
	t.log(JSON.stringify(figures));
	t.is(broken, undefined, broken);
});

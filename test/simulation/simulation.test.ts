import {env} from 'node:process';
import test from 'ava';
import {tellSeed} from '../fixtures/again.ts';
import {SEED} from '../fixtures/random.ts';
import {runWorlds} from './worlds.ts';

const events = Number(env['FAENA_EVENTS'] ?? 60_000);

test('whatever befalls the engines of a host, nothing is lost, nothing is done twice, and nothing is stuck', async t => {
	t.timeout(900_000);
	tellSeed(t, {FAENA_EVENTS: events});
	const {figures, broken} = await runWorlds(SEED, events);
	t.log(JSON.stringify(figures));
	t.is(broken, undefined, broken);
});

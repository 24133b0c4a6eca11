/** The contract suite: the laws of every pool. They lie in `contract/`, by subject. */
import test from 'ava';
import type {Pool} from '../../lib/pool/pool.ts';
import './contract/loading.ts';
import './contract/running.ts';
import './contract/stopping.ts';
import './contract/failing.ts';
import './contract/closing.ts';
import {Crew, LAWS, type MakePool} from './contract/laws.ts';

export {Crew, type MakePool, POOL_OPTIONS} from './contract/laws.ts';

/** Registers a test for each law of {@link Pool}. */
export function exercisePool(name: string, make: MakePool): void {
	for (const {title, check} of LAWS) {
		test.serial(`${name}: ${title}`, async t => {
			t.timeout(60_000);
			await check(t, new Crew(t, make));
		});
	}
}

/** The contract suite: the laws of every store. They lie in `contract/`, by subject. */
import test from 'ava';
import type {Store} from '../../lib/store/store.ts';
import {OpenedJobs} from '../fixtures/open-jobs.ts';
import {RawQueue} from '../fixtures/raw-queue.ts';
import './contract/enqueuing.ts';
import './contract/keys.ts';
import './contract/fingerprints.ts';
import './contract/limits.ts';
import './contract/editing.ts';
import './contract/expiring.ts';
import './contract/schedules.ts';
import './contract/waiting.ts';
import './contract/renewing.ts';
import './contract/stale.ts';
import './contract/claiming.ts';
import './contract/scopes.ts';
import './contract/settling.ts';
import './contract/child-jobs.ts';
import './contract/moving.ts';
import './contract/reading.ts';
import './contract/searching.ts';
import './contract/updates.ts';
import './contract/owners.ts';
import './contract/quarantine.ts';
import './contract/batches.ts';
import './contract/holding.ts';
import './contract/deleting.ts';
import './contract/listening.ts';
import './contract/closing.ts';
import {LAWS, LAWS_OF_STORES, LEASE_MS, type StoreOptions, SuiteClock, T0} from './contract/laws.ts';

export type {StoreOptions} from './contract/laws.ts';

/**
 * Registers a test for each law of {@link Store}. `open` gives a new, empty store each time; the suite closes it.
 * @param shared gives a new store that `again` opens once more, as another program does; for stores that several programs share. Default: `open`
 * @param nextTurn of a store that waits for a server: resolves when it may have answered
 * @param knowsOpenJobs false for a store whose owners can't die without it
 */
export function exerciseStore(
	name: string,
	open: (options: StoreOptions) => Promise<Store>,
	{
		shared = open,
		again,
		knowsOpenJobs = true,
		nextTurn,
	}: {readonly shared?: typeof open; readonly again?: typeof open; readonly knowsOpenJobs?: boolean; readonly nextTurn?: (store: Store) => Promise<void>} = {},
): void {
	// Hundreds of stores of one thread would poll beside each other. A server, however, is waited for.
	const register = nextTurn ? test : test.serial;
	for (const {title, check} of LAWS.filter(({needsOpenJobs}) => knowsOpenJobs || !needsOpenJobs)) {
		register(`${name}: ${title}`, async t => {
			const clock = new SuiteClock(T0, nextTurn && (() => nextTurn(store)));
			const opened = new OpenedJobs();
			const store: Store = await open({clock, random: () => clock.random, leaseMs: LEASE_MS, openJobs: opened.of});
			t.teardown(() => store.close());
			await check(t, new RawQueue(store), clock, opened);
		});
	}
	for (const {title, check} of again ? LAWS_OF_STORES : [])
		test.serial(`${name}: ${title}`, async t => {
			const clock = new SuiteClock(T0);
			const options: StoreOptions = {clock, random: () => clock.random, leaseMs: LEASE_MS, openJobs: () => []};
			const openWith = async (how: typeof open) => {
				const queue = new RawQueue(await how(options));
				t.teardown(() => queue.close());
				return queue;
			};
			await check(t, await openWith(shared), clock, () => openWith(again as typeof open));
		});
}

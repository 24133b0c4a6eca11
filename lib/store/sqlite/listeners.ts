import type {Claim} from '../../job/claim.ts';
import type {Health} from '../../job/events.ts';
import type {Clock} from '../../support/clock.ts';
import type {News} from '../store.ts';

/** A cancel by another process must reach a listener within 50 ms. */
const POLL_INTERVAL_MS = 20;
const HEALTH_INTERVAL_MS = 1000;
/** The longest wait after polls that failed. */
const MAX_RETRY_DELAY_MS = 1000;

/** The reads by which a store is polled. */
export interface PolledStore {
	/** The version of the store, and what has changed since the version that the listener knows; `stop` is absent if nothing has. */
	changes(known: string | undefined): Promise<{readonly version: string; readonly stop?: readonly Claim[]}>;
	checkHealth(): Promise<Health>;
}

/** Polls a store for news, and tells them. Does not poll again before `tell` is done. Returns a function that ends this. */
export function pollStore(store: PolledStore, {steadyMs, every}: Pick<Clock, 'steadyMs' | 'every'>, tell: (news: News) => void | Promise<void>): () => void {
	let known: string | undefined;
	let isPolling = true;
	let failures = 0;
	let nextPoll = 0;
	let nextHealthCheck = steadyMs() + HEALTH_INTERVAL_MS;
	const begin = async () => {
		// If this fails, the first poll reports a change.
		known = (await store.changes(undefined).catch(() => undefined))?.version;
		isPolling = false;
	};
	const poll = async () => {
		if (isPolling || steadyMs() < nextPoll) return;
		isPolling = true;
		try {
			const {version, stop} = await store.changes(known);
			known = version;
			if (stop) await tell({type: 'changed', stop});
			if (steadyMs() >= nextHealthCheck) {
				nextHealthCheck = steadyMs() + HEALTH_INTERVAL_MS;
				await tell({type: 'health', ...(await store.checkHealth())});
			}
			failures = 0;
		} catch (error) {
			nextPoll = steadyMs() + Math.min(MAX_RETRY_DELAY_MS, 10 * 2 ** ++failures);
			await tell({type: 'failed', error});
		} finally {
			isPolling = false;
		}
	};
	void begin();
	return every(POLL_INTERVAL_MS, () => void poll());
}

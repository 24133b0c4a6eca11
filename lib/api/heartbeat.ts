import type {OwnerId} from '../job/claim.ts';
import type {Store} from '../store/store.ts';
import {IN_MEMORY} from '../store/store-options.ts';
import {FaenaError} from '../support/errors.ts';
import {startThread, workerUrl} from '../support/node.ts';
import type {HeartbeatStart} from '../transport/messages.ts';

/**
 * Starts the thread that renews the heartbeat of a `work()` loop, whose own thread may be busy for hours. Resolves once it does, or has ended: a
 * job that blocks the loop's thread must not start before. A store in memory needs none: no other process can reclaim its jobs.
 * @param onFailure called if the thread ends by itself. Without it other engines would reclaim the loop's jobs
 * @returns a function that ends it
 */
export async function startHeartbeat(store: Store, owner: OwnerId, onFailure: (error: FaenaError) => void): Promise<() => Promise<void>> {
	const {location: shown, threadLocation: location} = store;
	if (location === undefined) {
		if (shown !== IN_MEMORY) process.emitWarning(NO_THREAD, {type: 'FaenaWarning'});
		return async () => undefined;
	}
	const worker = startThread(workerUrl('heartbeat'), {workerData: {location, owner} satisfies HeartbeatStart, name: 'faena heartbeat'});
	let isEnding = false;
	const fail = (why: string, cause?: unknown) => {
		if (isEnding) return;
		isEnding = true;
		const message = `The thread that keeps the lease of work() ended: ${why}. The running job was finished first; call work() again to go on.`;
		onFailure(new FaenaError('DispatcherFailed', message, {cause}));
	};
	worker.once('error', error => fail(error instanceof Error ? error.message : String(error), error));
	const exited = new Promise<void>(resolve => {
		worker.once('exit', code => {
			fail(`its exit code is ${code}`);
			resolve();
		});
	});
	await Promise.race([exited, new Promise(resolve => worker.once('message', resolve))]);
	worker.unref();
	return () => {
		isEnding = true;
		worker.ref();
		worker.postMessage('end');
		return exited;
	};
}

const NO_THREAD =
	'work() renews its heartbeat only while its tasks wait, since a thread of its own could not connect as the pool does. A task that computes for longer than ' +
	'the lease loses its job to another program. Make the pool from a URL, without an object as ssl and without a function as password.';

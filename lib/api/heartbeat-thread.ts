import type {OwnerId} from '../job/claim.ts';
import type {Store} from '../store/store.ts';
import {FaenaError} from '../support/errors.ts';
import {startThread} from '../support/node-args.ts';
import {workerUrl} from '../support/worker-url.ts';
import type {HeartbeatStart} from '../transport/messages.ts';

/** The thread that renews the heartbeat of a `work()` loop, whose own thread may be busy for hours. */
export interface HeartbeatThread {
	/** Resolves once it renews the heartbeat, or has ended. A job that blocks the loop's thread must not start before. */
	readonly ready: Promise<void>;
	/** Why it ended by itself. Without it other engines would reclaim the loop's jobs. */
	readonly failure: FaenaError | undefined;
	onFailure(call: () => void): void;
	end(): Promise<void>;
}

/** Starts the thread. A store in memory needs none: no other process can reclaim its jobs. */
export function startHeartbeat({location}: Store, owner: OwnerId): HeartbeatThread | undefined {
	if (location === ':memory:') return undefined;
	const worker = startThread(workerUrl('heartbeat'), {workerData: {location, owner} satisfies HeartbeatStart, name: 'faena heartbeat'});
	const [ready, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
	worker.once('message', () => {
		worker.unref();
		ready.resolve();
	});
	let isEnding = false;
	let failure: FaenaError | undefined;
	let onFailure: () => void = () => undefined;
	const fail = (why: string, cause?: unknown) => {
		if (isEnding || failure) return;
		const message = `The thread that keeps the lease of work() ended: ${why}. The running job was finished first; call work() again to go on.`;
		failure = new FaenaError('DispatcherFailed', message, {cause});
		onFailure();
	};
	worker.once('error', error => fail(error instanceof Error ? error.message : String(error), error));
	worker.once('exit', code => {
		fail(`its exit code is ${code}`);
		ready.resolve();
		ended.resolve();
	});
	return {
		ready: ready.promise,
		get failure() {
			return failure;
		},
		onFailure: call => {
			onFailure = call;
		},
		end: () => {
			isEnding = true;
			worker.ref();
			worker.postMessage('end');
			return ended.promise;
		},
	};
}

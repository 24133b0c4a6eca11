import {abortSignal, checked, type Duration, duration} from '../job/checks.ts';
import type {JobId} from '../job/job.ts';
import {startTimer} from '../support/clock.ts';
import {defined} from '../support/defined.ts';
import {FaenaError} from '../support/errors.ts';
import type {DispatcherClient} from '../transport/client.ts';
import type {Notice} from '../transport/messages.ts';

/** Options of a wait. They end the wait, and not that for which it waits. @example const options: WaitOptions = {timeout: '10s'}; */
export interface WaitOptions {
	/** When it aborts, the wait rejects with the signal's reason. */
	readonly signal?: AbortSignal;
	/** After this time, in milliseconds or as a text such as `'30s'`, the wait rejects with `WaitTimeout`. Default: none. */
	readonly timeout?: Duration;
}

/** {@link WaitOptions}, checked: the time in milliseconds. */
export interface Wait {
	readonly signal?: AbortSignal;
	readonly timeout?: number;
	/** Of a wait with several steps: the time for all of them. */
	readonly wholeTimeout?: number;
}

/** @throws FaenaError `BadOption` */
export function checkWait(where: string, options: WaitOptions | undefined): Wait {
	return checked(where, options, {timeout: duration, signal: abortSignal});
}

/** @throws FaenaError `BadOption` */
export function checkCallWait(where: string, options: {readonly signal: unknown; readonly waitTimeout: unknown}): Wait {
	const {signal, waitTimeout: timeout} = checked(where, options, {waitTimeout: duration, signal: abortSignal});
	return defined({signal, timeout});
}

/** Returns a function that returns the same wait, with the time that is left of it. */
export function timeLeft(wait: Wait): () => Wait {
	const until = performance.now() + (wait.timeout ?? Infinity);
	return () => (wait.timeout === undefined ? wait : {...wait, timeout: Math.max(0, until - performance.now()), wholeTimeout: wait.timeout});
}

/** Waits for what `begin` starts. If the wait ends before, it calls what `begin` returned, and says by `whatGoesOn` what had not ended after so long. */
export function waitFor<Value>(
	{signal, timeout = Infinity, wholeTimeout = timeout}: Wait,
	begin: (resolve: (value: Value) => void, reject: (error: unknown) => void) => () => void,
	whatGoesOn: (seconds: number) => string,
): Promise<Value> {
	return new Promise((resolve, reject) => {
		const settle = () => {
			stopTimer?.();
			signal?.removeEventListener('abort', onAbort);
		};
		const giveUp = (reason: unknown) => {
			settle();
			abandon();
			reject(reason);
		};
		const onAbort = () => giveUp(signal?.reason);
		const onTimeout = () => giveUp(new FaenaError('WaitTimeout', whatGoesOn(wholeTimeout / 1000)));
		const stopTimer = timeout === Infinity ? undefined : startTimer(timeout, onTimeout, {keepsAlive: true});
		signal?.addEventListener('abort', onAbort);
		const settleBy =
			<Ended>(end: (ended: Ended) => void) =>
			(ended: Ended) => {
				settle();
				end(ended);
			};
		const abandon = begin(settleBy<Value>(resolve), settleBy(reject));
		if (signal?.aborted) onAbort();
	});
}

/** Waits for the promise. */
export function within<Value>(wait: Wait, promise: Promise<Value>, whatGoesOn: (seconds: number) => string): Promise<Value> {
	return waitFor(
		wait,
		(resolve, reject) => {
			promise.then(resolve, reject);
			return () => undefined;
		},
		whatGoesOn,
	);
}

/**
 * Waits for the end of a job. It registers at once, since the notice may come next.
 * @param watched the call that tells the dispatcher to watch the job. If it fails, the wait ends with its error: no notice may come
 */
export function waitForEnd(client: DispatcherClient, id: JobId, wait: Wait, watched?: Promise<unknown>): Promise<Notice> {
	return waitFor<Notice>(
		wait,
		(resolve, reject) => {
			const watcher = (end: Notice | FaenaError) => ('status' in end ? resolve(end) : reject(end));
			client.watch(id, watcher);
			watched?.catch(reject);
			return () => client.unwatch(id, watcher);
		},
		seconds => `Job ${id} had not ended after ${seconds} s. It goes on, and you can wait for it again.`,
	);
}

/** Jobs that are awaited together. */
export const MAX_AWAITED = 1000;

/** Waits for the ends of all these jobs, at most {@link MAX_AWAITED}. */
export function waitForEnds(client: DispatcherClient, ids: readonly JobId[], wait: Wait): Promise<Notice[]> {
	const watched = client.call({type: 'watch', ids});
	return Promise.all(ids.map(id => waitForEnd(client, id, wait, watched)));
}

/** Waits for so long, if the wait does not end before. */
export function pause(ms: number, wait: Wait, whatGoesOn: (seconds: number) => string): Promise<void> {
	return waitFor<void>(wait, resolve => startTimer(ms, resolve, {keepsAlive: true}), whatGoesOn);
}

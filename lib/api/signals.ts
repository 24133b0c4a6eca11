import {constants} from 'node:os';
import {FaenaError} from '../support/errors.ts';

/** What ends with a signal. */
interface Closable {
	close(options?: {drain?: number}): Promise<void>;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** All that is to be closed before the process ends. */
const closables = new Set<Closable>();
/** How many have come. */
let signals = 0;

/**
 * Closes on SIGINT and SIGTERM, then, once everything is closed that was given to this, lets the signal end the process, so
 * that its parent sees why. A second signal doesn't wait for running jobs; a third ends the process on the spot, which loses
 * nothing either. What awaited a job is rejected with `Closed`, which need not be caught.
 * @returns a function that stops listening
 */
export function closeOnSignals(closable: Closable): () => void {
	closables.add(closable);
	if (closables.size === 1) for (const signal of SIGNALS) process.on(signal, onSignal);
	return () => {
		closables.delete(closable);
		// What a signal has begun goes on to its end.
		if (closables.size === 0 && signals === 0) stop();
	};
}

/** A signal is what this program closes for. */
export function isSignalled(): boolean {
	return signals > 0;
}

function onSignal(signal: NodeJS.Signals): void {
	if (++signals === 1) process.on('uncaughtException', onUncaught);
	const options = signals === 1 ? undefined : {drain: 0};
	if (signals > 2) end(signal);
	else void Promise.allSettled([...closables].map(closable => closable.close(options))).then(() => end(signal));
}

/** Whatever waits for a job learns that the engine has closed. A program that doesn't catch that ends by the signal all the same. */
function onUncaught(error: unknown): void {
	if (error instanceof FaenaError && error.code === 'Closed') return;
	// As if nobody listened, where nobody else does.
	if (process.listenerCount('uncaughtException') === 1) throw error;
}

function end(signal: NodeJS.Signals): void {
	stop();
	// The first process of a container is not ended by a signal that it doesn't handle.
	if (process.pid === 1) process.exit(128 + constants.signals[signal]);
	process.kill(process.pid, signal);
}

function stop(): void {
	signals = 0;
	process.off('uncaughtException', onUncaught);
	for (const signal of SIGNALS) process.off(signal, onSignal);
}

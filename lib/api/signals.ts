import {constants} from 'node:os';
import {FaenaError} from '../support/errors.ts';

/** An engine, or anything else that is closed on signals. */
type Closable = Parameters<typeof closeOnSignals>[0];

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Closed before the process ends. */
const closables = new Set<Closable>();
/** Number of signals that have come. */
let signals = 0;

/**
 * Closes an engine on SIGINT, SIGTERM and SIGHUP. Once everything that was passed to this function is closed, the signal ends the process, so
 * that its parent sees why. After a second signal the engine does not wait for running jobs. A third ends the process at once, which
 * loses no jobs either. A SIGHUP counts only as the first: a shell and the system both send one when a terminal is closed. Awaited jobs are rejected with `Closed`; the program need not catch that.
 * @returns a function that stops listening
 * @example const stop = closeOnSignals(faena);
 */
export function closeOnSignals(closable: {close(options?: {drain?: number}): Promise<void>}): () => void {
	closables.add(closable);
	if (closables.size === 1) for (const signal of SIGNALS) process.on(signal, onSignal);
	return () => {
		closables.delete(closable);
		// After a signal, its handling goes on to the end.
		if (closables.size === 0 && signals === 0) stop();
	};
}

/** True if a signal has come. */
export function isSignalled(): boolean {
	return signals > 0;
}

function onSignal(signal: NodeJS.Signals): void {
	if (signal === 'SIGHUP' && signals > 0) return;
	if (++signals === 1) process.on('uncaughtException', onUncaught);
	const options = signals === 1 ? undefined : {drain: 0};
	if (signals > 2) end(signal);
	else void Promise.allSettled([...closables].map(closable => closable.close(options))).then(() => end(signal));
}

/** Ignores the error `Closed`, with which awaited jobs reject when the engine closes: the program need not catch it, and ends by the signal. */
function onUncaught(error: unknown): void {
	if (error instanceof FaenaError && error.code === 'Closed') return;
	// If this is the only listener, the error ends the program as if there were none.
	if (process.listenerCount('uncaughtException') === 1) throw error;
}

function end(signal: NodeJS.Signals): void {
	stop();
	// A signal without a handler does not end the first process of a container.
	if (process.pid === 1) process.exit(128 + constants.signals[signal]);
	process.kill(process.pid, signal);
}

function stop(): void {
	signals = 0;
	process.off('uncaughtException', onUncaught);
	for (const signal of SIGNALS) process.off(signal, onSignal);
}

import {constants} from 'node:os';

/** What ends with a signal. */
interface Closable {
	close(options?: {drain?: number}): Promise<void>;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * Closes on SIGINT and SIGTERM, then lets the signal end the process, so that its parent sees why. A second signal doesn't
 * wait for running jobs; a third ends the process on the spot, which loses nothing either.
 * @returns a function that stops listening
 */
export function closeOnSignals(closable: Closable): () => void {
	let signals = 0;
	const onSignal = (signal: NodeJS.Signals) => {
		signals++;
		if (signals > 2) return end(signal);
		const closed = signals === 1 ? closable.close() : closable.close({drain: 0});
		closed.then(
			() => end(signal),
			() => end(signal),
		);
	};
	const stop = () => {
		for (const signal of SIGNALS) process.off(signal, onSignal);
	};
	const end = (signal: NodeJS.Signals) => {
		stop();
		// The first process of a container is not ended by a signal that it doesn't handle.
		if (process.pid === 1) process.exit(128 + constants.signals[signal]);
		process.kill(process.pid, signal);
	};
	for (const signal of SIGNALS) process.on(signal, onSignal);
	return stop;
}

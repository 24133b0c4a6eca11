import type {ErrorCode} from '../support/errors.ts';
import {FaenaError} from '../support/errors.ts';
import {fromFailure, toFailure} from './failure.ts';

/** The wire form of a {@link FaenaError}: what crosses a thread boundary and loses nothing on the way. */
export interface ErrorEnvelope {
	readonly code: ErrorCode;
	readonly message: string;
	readonly cause?: unknown;
}

/** Packs any error for another thread. */
export function toEnvelope(error: unknown): ErrorEnvelope {
	if (error instanceof FaenaError) return {code: error.code, message: error.message, cause: carriable(error.cause)};
	const cause = error instanceof Error ? error : new Error(String(error));
	return {code: 'DispatcherFailed', message: `Faena's dispatcher failed: ${cause.message}`, cause: carriable(cause)};
}

/** The cause, or what can be told of it where structured clone can't carry it: it may be an error of the user's. */
export function carriable(cause: unknown): unknown {
	try {
		return structuredClone(cause);
	} catch {
		return fromFailure(toFailure(cause));
	}
}

export function fromEnvelope(envelope: ErrorEnvelope): FaenaError {
	const options = envelope.cause === undefined ? undefined : {cause: envelope.cause};
	return new FaenaError(envelope.code, envelope.message, options);
}

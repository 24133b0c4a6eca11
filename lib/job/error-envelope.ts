import type {ErrorCode} from '../support/errors.ts';
import {FaenaError} from '../support/errors.ts';
import {fromFailure, toFailure} from './failure.ts';

/** A {@link FaenaError} in the form in which it travels to another thread without a loss. */
export interface ErrorEnvelope {
	readonly code: ErrorCode;
	readonly message: string;
	readonly cause?: unknown;
}

/** Packs any error for another thread. An error that is not a {@link FaenaError} becomes the cause of a `DispatcherFailed`. */
export function toEnvelope(error: unknown): ErrorEnvelope {
	if (error instanceof FaenaError) return {code: error.code, message: error.message, cause: carriable(error.cause)};
	const cause = error instanceof Error ? error : new Error(String(error));
	return {code: 'DispatcherFailed', message: `Faena's dispatcher failed: ${cause.message}`, cause: carriable(cause)};
}

/** The cause, or a description of it if structured clone can't copy it: it may be an error of the user's. */
function carriable(cause: unknown): unknown {
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

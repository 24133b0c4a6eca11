import {CodedError} from '../internal/words.ts';

/** The input could not be read to its end, so items may be missing. */
export class InputError extends CodedError {
	constructor(message: string, options?: ErrorOptions) {
		super('BadOption', message, options);
	}
}

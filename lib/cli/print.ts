import {escapeControls} from './escape-controls.ts';

/**
 * Prints a command's output to stdout.
 * @throws Unwritable if that fails
 */
export async function print(text: string): Promise<void> {
	await new Promise<void>((resolve, reject) => {
		process.stdout.write(escapeControls(text), error => (error ? reject(new Unwritable(error)) : resolve()));
	});
}

export class Unwritable extends Error {
	declare readonly cause: NodeJS.ErrnoException;

	constructor(cause: Error) {
		super(`The output can't be written: ${cause.message}.`, {cause});
	}
}

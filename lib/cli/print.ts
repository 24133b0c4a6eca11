import {escapeControls} from './escape-controls.ts';

/** Writes on stdout what a command has found, and fails where that can't be done. */
export async function print(text: string): Promise<void> {
	await new Promise<void>((resolve, reject) => {
		process.stdout.write(escapeControls(text), error => (error ? reject(new Unwritable(error)) : resolve()));
	});
}

/** What {@link print} fails with. */
export class Unwritable extends Error {
	declare readonly cause: NodeJS.ErrnoException;

	constructor(cause: Error) {
		super(`This can't be written: ${cause.message}.`, {cause});
	}
}

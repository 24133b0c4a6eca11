import {mkdirSync, readFileSync} from 'node:fs';
import {hostname, tmpdir} from 'node:os';
import {join} from 'node:path';
import {refuseUntrustedFolder} from '../trusted-files.ts';

/** This machine since it was started. Stores of other machines may see the same folder, in which locks of this one seem free. */
export const HOST = bootId() ?? hostname();

function bootId(): string | undefined {
	try {
		return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
	} catch {
		return undefined;
	}
}

/**
 * The path from which those of the owners' files are made, in a folder that only this user can write to. Returns `undefined` if there can be none: then an
 * owner that has died shows only by its silence.
 * @param place names the queue, and no copy of it
 */
export function ownerFilesAt(place: string): string | undefined {
	const folder = join(tmpdir(), `faena-${process.getuid?.() ?? ''}`);
	try {
		mkdirSync(folder, {mode: 0o700, recursive: true});
		refuseUntrustedFolder(folder);
		return join(folder, place);
	} catch {
		return undefined;
	}
}

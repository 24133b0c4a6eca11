import {createHash} from 'node:crypto';

/** A hash of a text: 132 bits. */
export function hashOf(text: string): string {
	return createHash('sha256').update(text).digest('base64url').slice(0, 22);
}

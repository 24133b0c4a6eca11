import {createHash, scryptSync} from 'node:crypto';

export interface User {
	readonly id: string;
	/** The password's MD5 in hex, as an old system kept it. */
	readonly md5: string;
}

/** About 100 ms of work and 32 MiB. This cost makes scrypt safe, and lets a table of users take days. */
const COST = {N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024};

/** Wraps a weak hash in a strong one: the user needs no new password, and a stolen table can't be searched any more. */
export function strengthen({id, md5}: User): {readonly id: string; readonly scrypt: string} {
	if (!/^[0-9a-f]{32}$/.test(md5)) throw new TypeError(`user ${id} has no MD5: ${JSON.stringify(md5)}`);
	// A salt must be unique, not secret. This one follows from the user, so a repeated execution gives the same hash.
	const salt = createHash('sha256').update(`example.com/${id}`).digest().subarray(0, 16);
	const hash = scryptSync(md5, salt, 32, COST);
	return {id, scrypt: ['', 'scrypt-md5', 15, 8, 1, salt.toString('base64url'), hash.toString('base64url')].join('$')};
}

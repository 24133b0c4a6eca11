import {createRequire} from 'node:module';
import type Driver from 'pg';
import {FaenaError} from '../../../support/errors.ts';

export type {Client, ClientConfig, Pool} from 'pg';

/** The driver of PostgreSQL. Programs with files alone need not have it, and a bundler does not look for it here. */
export const pg = load();

function load(): typeof Driver {
	try {
		return createRequire(import.meta.url)('pg') as typeof Driver;
	} catch (error) {
		const {code, message} = error as NodeJS.ErrnoException;
		if (code !== 'MODULE_NOT_FOUND' || !/'pg'/.test(message)) throw error;
		throw new FaenaError('BadDatabase', 'A queue on PostgreSQL needs the package pg beside faena. Install it with npm install pg.', {cause: error});
	}
}

import type {Case, Surroundings} from '../../plan/suite.ts';
import {serverOf} from '../servers/servers.ts';

/** The socket of the Redis that has the case's durability. */
export function redisOf(given: Case, {servers}: Surroundings): string {
	const server = servers?.[serverOf(given) ?? ''];
	if (!server) throw new Error('Redis is not running: measure the peers with npm run bench:peers');
	return server.url;
}

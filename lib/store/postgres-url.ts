import {distance} from 'fastest-levenshtein';
import {bad, show} from '../job/checks.ts';

/**
 * The parts of the URL of a PostgreSQL queue: that of the database, and the schema, which the parameter `schema` names; default `faena`.
 * @throws FaenaError `BadOption` if it is no URL, or the schema can't be one
 */
export function postgresParts(location: string): {readonly url: string; readonly schema: string} {
	const {searchParams} = toUrl(location);
	// The driver ignores parameters that it does not know, and the jobs would go to another queue.
	const typo = [...searchParams.keys()].find(name => name !== 'schema' && distance(name, 'schema') <= 2);
	if (typo !== undefined) throw bad(`The URL of the queue has no parameter ${show(typo)}; did you mean schema?`);
	const schema = searchParams.get('schema') ?? DEFAULT_SCHEMA;
	const url = location.replace(/([?&])schema=[^&#]*(&?)/, (_, before: string, after: string) => (after ? before : ''));
	const bytes = Buffer.byteLength(schema);
	if (bytes === 0 || bytes > MAX_NAME_BYTES || schema.includes('\0') || schema.startsWith('pg_'))
		throw bad(
			`The parameter schema in the URL of the queue expects a name of 1 to ${MAX_NAME_BYTES} bytes that does not begin with pg_; it got ${show(schema)}`,
		);
	return {url, schema};
}

/** The location of a queue whose parts these are. */
export function locationOf(url: string, schema: string): string {
	return `${url}${url.includes('?') ? '&' : '?'}schema=${encodeURIComponent(schema)}`;
}

/** Of a queue on PostgreSQL. */
export const DEFAULT_SCHEMA = 'faena';

/**
 * The parts of the URL of a PostgreSQL database.
 * @throws FaenaError `BadOption` if it is no URL
 */
export function toUrl(location: string): URL {
	// A folder with a socket is named by the parameter host. Then there is no host after the user, which a URL must have.
	const withHost = location.replace(/@(?=[/?]|$)/, '@localhost');
	// An @ after the host is one after a password with one of /, ? and #, of which the rest would be taken for a path, and shown.
	const isUrl = /^postgres(ql)?:\/\//i.test(location) && URL.canParse(withHost);
	if (isUrl && !/[/?#].*@/.test(location.replace(/^\w+:\/\//, ''))) return new URL(withHost);
	// It may contain a password, so that it is not shown.
	throw bad(
		'The URL of the queue must be postgres://user:password@host:port/database, and this one is no URL. Write %-codes for special characters in its parts, such as %2F for a slash in the password',
	);
}

/** PostgreSQL cuts names of more than 63 bytes. The names of other schemas begin with this one. */
const MAX_NAME_BYTES = 52;

/** The location of a queue as it may be shown: without a password. */
export function shownUrl(location: string): string {
	const {protocol, username, host, pathname, searchParams} = toUrl(location);
	const [schema, socket] = [searchParams.get('schema'), searchParams.get('host')];
	return `${protocol}//${username && `${username}@`}${socket ?? host}${pathname}${schema === null ? '' : `?schema=${schema}`}`;
}

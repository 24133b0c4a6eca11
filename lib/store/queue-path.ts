import {realpathSync} from 'node:fs';
import {basename, dirname, join, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {distance} from 'fastest-levenshtein';
import {bad, show} from '../job/checks.ts';

/**
 * The absolute path of a database, from which the paths of all its other files are made. A later `process.chdir()` does not
 * change it. Its folder has no links and no `..`, so that every path to the database leads to the same lock and blob files.
 * @throws FaenaError `BadOption` if SQLite could not open a file of this name
 */
export function queuePath(where: string, location: string | URL): string {
	if (isPostgres(location)) return String(location);
	const path = location instanceof URL ? fileURLToPath(location) : location;
	// better-sqlite3 would trim the name, and open another file.
	if (path.trimEnd() !== path) throw bad(`${where} expects as queue a path that does not end with white space; it got ${JSON.stringify(path)}`);
	try {
		// The native version resolves `..` after a link from the link's target, as the system does.
		return join(realpathSync.native(dirname(path)), basename(path));
	} catch {
		// The folder does not exist or can't be entered. Opening the database will fail with a message that says so.
		return absolutePath(path);
	}
}

/** Whether a path leads to a file of the queue: the database, one that SQLite or an engine keeps beside it, or a large result. */
export function isOwnFile(location: string): (path: string) => boolean {
	if (isPostgres(location)) return () => false;
	const [database, name] = [queuePath('open()', location), basename(location)];
	return path => {
		if (!path.includes(name)) return false;
		const whole = join(realpathSync.native(dirname(path)), basename(path));
		return whole.startsWith(database) && /^(-wal|-shm|-journal|-owner-.*|-blobs[/\\].*)?$/s.test(whole.slice(database.length));
	};
}

/**
 * True for the URL of a PostgreSQL database; false for a path, or a `file:` URL.
 * @throws FaenaError `BadOption` if it is another URL
 */
export function isPostgres(location: string | URL): boolean {
	if (/^postgres(ql)?:/i.test(String(location))) return true;
	// As a path it would be shown in messages, with the password of a URL that is mistyped.
	if (/:\/\/|\/\/[^/]*:.*@/.test(String(location)) && !(location instanceof URL && location.protocol === 'file:'))
		throw bad(
			'The queue must be the path of an SQLite file or a URL that begins with postgres://, and this is another URL. Correct its beginning; it is not shown here, since it may have a password',
		);
	return false;
}

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
export function shownLocation(location: string): string {
	if (!isPostgres(location)) return location;
	const {protocol, username, host, pathname, searchParams} = toUrl(location);
	const [schema, socket] = [searchParams.get('schema'), searchParams.get('host')];
	return `${protocol}//${username && `${username}@`}${socket ?? host}${pathname}${schema === null ? '' : `?schema=${schema}`}`;
}

/** Like `resolve`. If the working directory was deleted, the path stays as it is, and opening it fails. */
function absolutePath(path: string): string {
	try {
		return resolve(path);
	} catch {
		return path;
	}
}

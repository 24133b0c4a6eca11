import {type ErrorCode, FaenaError} from '../../../support/errors.ts';
import {ownerInUse} from '../../conflict-errors.ts';
import {toUrl} from '../../postgres-url.ts';

/** The error for each code of PostgreSQL, of the system or of TLS. The first pattern that matches counts. */
const ERRORS: readonly (readonly [code: RegExp, sentence: string, code?: ErrorCode])[] = [
	[/^(28P01|28000)$/, "DATABASE refuses this user: MESSAGE. Check the user and the password in the URL, and the server's pg_hba.conf (CODE)."],
	[/^3D000$/, 'DATABASE does not exist. Create it, or name another one (CODE).'],
	[/^(42501)$/, 'DATABASE does not allow this user what Faena needs: MESSAGE. Grant that right, or make this user the owner of the schema (CODE).'],
	[/^25006$/, 'DATABASE can only be read: it is a standby, or a transaction there is read-only by default. Name the primary server (CODE).'],
	[/^(42P06|42P07|42723|42710)$/, 'The schema in DATABASE has something else in it: MESSAGE. Name another schema by ?schema= in the URL (CODE).'],
	[/^(42P01|42883|42703|42704|3F000)$/, "DATABASE lacks a part of Faena's schema: MESSAGE. Restore it from a backup, or name another schema (CODE)."],
	[/^53100$/, 'The disk of DATABASE is full. Make room there (CODE).', 'StorageFull'],
	[/^(53300|53400)$/, 'DATABASE has no connection left. Raise its max_connections, or end other programs (CODE).', 'Unreachable'],
	[/^55000$/, 'DATABASE refuses work for now: MESSAGE. Undo that, and work goes on (CODE).', 'Unreachable'],
	[/^57014$/, 'DATABASE cancelled a statement: MESSAGE. Raise statement_timeout for this user (CODE).', 'DatabaseBusy'],
	[/^(55P03|40001|40P01|53200)$/, 'DATABASE was too busy for this transaction: MESSAGE. Try again (CODE).', 'DatabaseBusy'],
	[/^(54000|22001|54001)$/, "DATABASE can't store a value of this size: MESSAGE. Store less (CODE).", 'TooLarge'],
	[
		/^(22|23|42804)/,
		'DATABASE refuses to store this: MESSAGE (CODE). Either a value has the wrong type, or rows that Faena never writes conflict with it.',
		'BadRow',
	],
	[
		/^(08|57P0)|^(ECONN|EHOST|ENET|ENOTFOUND|EAI_|EPIPE|ETIMEDOUT|ENOENT|EACCES)/,
		"DATABASE can't be reached: MESSAGE (CODE). Check that the server runs, and its host and port.",
		'Unreachable',
	],
	[/^FA009$/, 'MESSAGE.', 'QueueMoved'],
	[/^FA003$/, 'DATABASE was too busy for this claim: MESSAGE. Try again.', 'DatabaseBusy'],
	[/^FA006$/, ownerInUse('MESSAGE').message, 'OwnerInUse'],
	[/^FA004$/, 'DATABASE is not the one that this program has opened: MESSAGE. Restart it, with the Faena of the programs that use it.', 'NewerDatabase'],
	[/^FA005$/, 'DATABASE begins transactions that do not see what others commit: MESSAGE. Set default_transaction_isolation of this user to read committed.'],
	[/^NO_PASSWORD$/, 'DATABASE asks for a password, and there is none. Give it in ~/.pgpass, which only you may read (mode 600), or in PGPASSWORD.'],
	[/^NO_TLS$/, 'DATABASE does not offer TLS: MESSAGE. Turn ssl on there, or leave sslmode out of the URL.'],
	[/^(CERT_|DEPTH_|SELF_SIGNED|UNABLE_TO|ERR_TLS)/, "The certificate of DATABASE can't be verified: MESSAGE (CODE). Give the option sslrootcert in the URL."],
];

/** Texts of errors of the driver, which have no code. */
const TEXTS: readonly (readonly [text: RegExp, code: string])[] = [
	[/^Connection terminated|^Client has encountered a connection error|^timeout (exceeded|expired)/, 'ECONNRESET'],
	[/does not support SSL/, 'NO_TLS'],
	[/client password must be a string/, 'NO_PASSWORD'],
];

/** Codes of connections that ended while a call was under way: of the server, of a pooler before it, and of the network. */
const LOST = /^(08.{3}|57P01|57P02|EPIPE|ETIMEDOUT|(ECONN|EHOST|ENET)[A-Z]*)$/;

/** The code of an error of PostgreSQL, or of the error that caused it. */
export function codeOf(error: unknown): string {
	const {code, cause, message = ''} = Object(error) as {readonly code?: unknown; readonly cause?: unknown; readonly message?: string};
	if (error instanceof FaenaError) return codeOf(cause);
	return typeof code === 'string' ? code : (TEXTS.find(([text]) => text.test(message))?.[1] ?? '');
}

/** True if the connection can't be used again, or could not be made. */
export function isConnectionLost(error: unknown): boolean {
	return LOST.test(codeOf(error));
}

/** True if the server can only be read now: it is a standby, perhaps one that is about to become the primary server. */
export function isReadOnly(error: unknown): boolean {
	return codeOf(error) === '25006';
}

/** The server may take writes again soon. */
export function unreachable(cause: unknown, database: string): FaenaError {
	const message = `${database} can only be read now: it is a standby, or became one. Name the primary server, if it is another one.`;
	return new FaenaError('Unreachable', message, {cause});
}

/** A transaction has taken effect, and what its answer needs can't be had. */
export function withoutAnswer(cause: unknown): FaenaError {
	return new FaenaError('OutcomeUnknown', `The call has taken effect, but its answer could not be read: ${(cause as Error).message}`, {cause});
}

/** Turns an error of PostgreSQL into a FaenaError. Returns any other as it is. `isSent`: the call may have taken effect. */
export function translate(error: unknown, database: string, isSent: boolean): unknown {
	const code = codeOf(error);
	if (isSent && LOST.test(code)) {
		const message = `${database} did not answer, since the connection was lost (${code}). The call may or may not have taken effect. To be safe, enqueue again with the same key.`;
		return new FaenaError('OutcomeUnknown', message, {cause: error});
	}
	const known = ERRORS.find(([pattern]) => pattern.test(code));
	if (!known) return error;
	const [, sentence, own = 'BadDatabase'] = known;
	const words = {DATABASE: database, CODE: code, MESSAGE: (error as Error).message.replace(/\.$/, '')};
	return new FaenaError(
		own,
		sentence.replace(/DATABASE|CODE|MESSAGE/g, word => words[word as keyof typeof words]),
		{cause: error},
	);
}

/**
 * Names the database of a URL, without the user's password.
 * @throws FaenaError `BadOption` if it is no URL
 */
export function nameOfDatabase(url: string): string {
	const {host, pathname, searchParams} = toUrl(url);
	return `The database ${pathname.slice(1) || 'of this user'} on ${searchParams.get('host') ?? (host || process.env['PGHOST'] || 'the default host')}`;
}

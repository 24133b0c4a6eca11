import {pbkdf2Sync} from 'node:crypto';

/** A row of the table: the number of a line of the input, from 1, and its customer, or the reason why it has none. */
export interface Row {
	readonly line: number;
	readonly name: string | null;
	/** Stands for the e-mail address, which can't be computed from it. */
	readonly person: string | null;
	readonly cents: number | null;
	readonly error: string | null;
}

export function toRow(line: number, text: string): Row {
	try {
		const {name, email, amount} = JSON.parse(text) as {name: string; email: string; amount: string};
		const cents = Math.round(100 * Number(amount));
		if (!Number.isSafeInteger(cents)) throw new TypeError(`no amount: ${amount}`);
		return {line, name: tidy(name), person: pseudonym(email), cents, error: null};
	} catch (error) {
		return {line, name: null, person: null, cents: null, error: (error as Error).message};
	}
}

/** Splits text into lines. The last one may lack its line break. */
export function linesOf(text: string): string[] {
	const lines = text.split('\n');
	return lines.at(-1) === '' ? lines.slice(0, -1) : lines;
}

function tidy(name: string): string {
	const words = name.normalize('NFKC').trim().toLowerCase().split(/\s+/);
	return words.map(word => word.charAt(0).toUpperCase() + word.slice(1)).join(' ');
}

/** A slow hash: a fast one could be searched by hashing many addresses. */
function pseudonym(email: string): string {
	return pbkdf2Sync(email.trim().toLowerCase(), 'a secret of your own', 300, 12, 'sha256').toString('base64url');
}

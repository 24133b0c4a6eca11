import {pbkdf2Sync} from 'node:crypto';

/** A line of the input, numbered from 1, as the table has it: a customer, or why it is none. */
export interface Row {
	readonly line: number;
	readonly name: string | null;
	/** Stands for the e-mail address, which nobody can tell from it. */
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

/** The last line may end like the others, or not. */
export function linesOf(text: string): string[] {
	const lines = text.split('\n');
	return lines.at(-1) === '' ? lines.slice(0, -1) : lines;
}

function tidy(name: string): string {
	const words = name.normalize('NFKC').trim().toLowerCase().split(/\s+/);
	return words.map(word => word.charAt(0).toUpperCase() + word.slice(1)).join(' ');
}

/** Stretched, since a plain hash of an address is found by hashing addresses. */
function pseudonym(email: string): string {
	return pbkdf2Sync(email.trim().toLowerCase(), 'a secret of your own', 300, 12, 'sha256').toString('base64url');
}

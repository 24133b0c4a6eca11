/** Characters that no shell treats specially anywhere in a word. */
const PLAIN = /^[\w@%+:,./-]+$/;

/** Characters that a terminal obeys. A line feed and a tab stay as they are. */
const CONTROLS = /[^\P{Cc}\n\t]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/**
 * The text as one word of a shell command. Nothing in it has a meaning for the shell, and nothing has one for a terminal: control characters are
 * written as the output of `printf`.
 */
export function shellQuote(text: string): string {
	if (PLAIN.test(text)) return text;
	return `'${text.replaceAll("'", "'\\''").replace(CONTROLS, control => `'"$(printf '${octal(control)}')"'`)}'`;
}

function octal(text: string): string {
	return [...Buffer.from(text)].map(byte => `\\${byte.toString(8).padStart(3, '0')}`).join('');
}

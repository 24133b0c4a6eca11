import {replaceControls} from './controls.ts';

/** Characters that no shell treats specially anywhere in a word. */
const PLAIN = /^[\w@%+:,./-]+$/;

/** The text as one word of a shell command, which means nothing else to the shell or a terminal: controls are the output of `printf`. */
export function shellQuote(text: string): string {
	if (PLAIN.test(text)) return text;
	return `'${replaceControls(text.replaceAll("'", "'\\''"), control => `'"$(printf '${octal(control)}')"'`)}'`;
}

function octal(text: string): string {
	return [...Buffer.from(text)].map(byte => `\\${byte.toString(8).padStart(3, '0')}`).join('');
}

/** Controls, and what turns the direction of text around: a terminal obeys them, and what is shown comes from jobs. */
const CONTROLS = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** The text with all controls but line feeds and tabs as JSON writes them, so that JSON stays what it is. */
export function escapeControls(text: string): string {
	return text.replace(CONTROLS, control => (control === '\n' || control === '\t' ? control : escaped(control)));
}

/** The same for what is to stay within its line. */
export function inLine(text: string): string {
	return text.replace(CONTROLS, escaped);
}

function escaped(control: string): string {
	return control === '\n' ? '\\n' : `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

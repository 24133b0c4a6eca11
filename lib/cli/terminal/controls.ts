/** Control characters, and those that change the direction of text. A terminal obeys them, and the text that is shown comes from jobs. */
const CONTROLS = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Most texts have no other characters than these, which is quickly seen. */
const OTHERS = /[^\n\t -~]/;

/** Writes all controls but line feeds and tabs as JSON escapes, so that JSON stays valid. */
export function escapeControls(text: string): string {
	return OTHERS.test(text) ? replaceControls(text, escaped) : text;
}

/** Replaces all controls but line feeds and tabs. */
export function replaceControls(text: string, replacement: (control: string) => string): string {
	return text.replace(CONTROLS, control => (control === '\n' || control === '\t' ? control : replacement(control)));
}

/** Writes all controls as escapes, so that the text stays within its line. */
export function inLine(text: string): string {
	return text.replace(CONTROLS, escaped);
}

function escaped(control: string): string {
	return control === '\n' ? '\\n' : `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

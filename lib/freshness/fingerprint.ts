/** What an execution depends on, as far as it is known. As a text it is the fingerprint that a store keeps. */
export interface Fingerprint {
	/** Of the task's code. */
	readonly code: string;
	/** Of the content of the item's files; empty if it has none. */
	readonly content: string;
	/** The sizes and times of these files, or only which of them are there if those say nothing about the content; empty if that is not known either. */
	readonly attributes: string;
}

export function writeFingerprint({code, content, attributes}: Fingerprint): string {
	return `${code} ${content} ${attributes}`;
}

/** The fingerprint of an execution that may have read something else: its files changed while it ran, perhaps for a moment. */
export function ofChangedFiles(text: string): string {
	const {code = ''} = readFingerprint(text) ?? {};
	return writeFingerprint({code, content: 'changed', attributes: ''});
}

/** `undefined` if there is none, or another program has written it. */
export function readFingerprint(text: string | null): Fingerprint | undefined {
	const [code, content, attributes, ...others] = text?.split(' ') ?? [];
	return code === undefined || content === undefined || attributes === undefined || others.length > 0 ? undefined : {code, content, attributes};
}

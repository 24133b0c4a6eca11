/** What an execution depends on, as far as it is known. As a text it is the fingerprint that a store keeps. */
export interface Fingerprint {
	/** Of the task's code; once the job has been executed, of that which its worker had loaded. */
	readonly code: string;
	/** Of the content of the item's files; empty if it has none. */
	readonly content: string;
	/** The sizes and times of these files, or only which of them are there if those say nothing about the content; empty if that is not known either. */
	readonly attributes: string;
	/** The renewal of all items of its batch in which it was enqueued last, if it was in one. */
	readonly renewal?: string | undefined;
}

export function writeFingerprint({code, content, attributes, renewal}: Fingerprint): string {
	return [code, content, attributes, ...(renewal === undefined ? [] : [renewal])].join(' ');
}

/** The fingerprint of an execution that may have read something else: its files changed while it ran, perhaps for a moment. */
export function ofChangedFiles(text: string | null): string {
	return writeFingerprint({code: '', ...readFingerprint(text), content: 'changed', attributes: ''});
}

/** `undefined` if there is none, or another program has written it. */
export function readFingerprint(text: string | null): Fingerprint | undefined {
	const [code, content, attributes, renewal, ...others] = text?.split(' ') ?? [];
	if (code === undefined || content === undefined || attributes === undefined || others.length > 0) return undefined;
	return {code, content, attributes, renewal};
}

import {type Chance, chanceOf} from '../plan/chance.ts';

const LETTERS = 'abcdefghijklmnopqrstuvwxyz     ';
/** A line break is one more byte in JSON than in the text. */
const LINE = 80;

/** Values of so many bytes, no two the same: each is a random one with its number at its start. */
export function makeContents(count: number, bytes: number, binary: boolean, seed: number): (Uint8Array | string)[] {
	const chance = chanceOf(seed);
	return binary ? bytesOf(count, bytes, chance) : textsOf(count, bytes, chance);
}

function bytesOf(count: number, bytes: number, {below}: Chance): Uint8Array[] {
	const content = Uint8Array.from({length: bytes}, () => below(256));
	return Array.from({length: count}, (_, number) => {
		const own = content.slice();
		new DataView(own.buffer).setUint32(0, number);
		return own;
	});
}

function textsOf(count: number, bytes: number, {below}: Chance): string[] {
	const content = Buffer.from(
		Uint8Array.from({length: bytes}, (_, at) => (at % LINE === LINE - 1 ? '\n' : (LETTERS[below(LETTERS.length)] as string)).charCodeAt(0)),
	);
	return Array.from({length: count}, (_, number) => {
		content.write(String(number).padStart(10, '0'));
		// Made anew, so that it is one flat string, as what is read from a file is.
		return content.toString('latin1');
	});
}

/**
 * Voids a run in which a value did not come back as it went in.
 * @param returned by its number
 */
export function refuseUnlessSame(contents: readonly (Uint8Array | string)[], returned: readonly unknown[]): void {
	const wrong = contents.findIndex((content, index) => !isSame(content, returned[index]));
	if (wrong >= 0 || returned.length !== contents.length)
		throw new Error(`Of ${contents.length} values ${returned.length} came back, and number ${wrong} is not what it was`);
}

function isSame(content: Uint8Array | string, returned: unknown): boolean {
	if (typeof content === 'string' || !(returned instanceof Uint8Array)) return content === returned;
	return Buffer.compare(content, returned) === 0;
}

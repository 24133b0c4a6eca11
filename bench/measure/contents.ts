import {type Chance, chanceOf} from '../plan/chance.ts';

const LETTERS = 'abcdefghijklmnopqrstuvwxyz     ';
/** Length of a line. A line break has one byte in the text and two in JSON. */
const LINE = 80;

/** Makes different values of `bytes` bytes each: one random value, with another number at its start each time. */
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
		// A new string each time: flat, like one that was read from a file.
		return content.toString('latin1');
	});
}

/**
 * Throws, and so voids the run, if a value came back changed.
 * @param returned the values that came back, by number
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

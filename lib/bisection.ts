import {FaenaError} from './errors.ts';

/**
 * True if the store refuses what it was given because of a value or a row: it would refuse it again. Any other failure, a full
 * disk or a lock for instance, is nobody's fault, and may be over at the next try.
 */
export function isRefusal(error: unknown): error is FaenaError {
	return error instanceof FaenaError && (error.code === 'BadRow' || error.code === 'TooLarge');
}

/** How parts of a transaction are written. */
export interface Steps<Part, Result> {
	/** Writes the parts in one transaction, all of them or none and an error. */
	commit(parts: readonly Part[]): Promise<Result>;
	/** Takes what came of a transaction. An error of it ends all. */
	committed(parts: readonly Part[], result: Result): Promise<void>;
	/** Gives what to write instead of a part that is refused by itself; nothing, if nothing can be. */
	instead(part: Part, refusal: FaenaError): readonly Part[];
}

/**
 * Writes the parts in order, in one transaction if the store takes them all; otherwise the two halves one after the other, and so
 * on, until each part that is refused is alone.
 * @returns what was not tried because of an error that is no refusal, and that error; `undefined` if nothing is left
 */
export async function commitInParts<Part, Result>(
	parts: readonly Part[],
	{commit, committed, instead}: Steps<Part, Result>,
): Promise<{readonly left: readonly Part[]; readonly error: unknown} | undefined> {
	/** The first comes last. */
	const groups = [parts];
	for (let group = groups.pop(); group; group = groups.pop()) {
		if (group.length === 0) continue;
		let result: Result;
		try {
			result = await commit(group);
		} catch (error) {
			if (!isRefusal(error)) return {left: [group, ...groups.toReversed()].flat(), error};
			const half = Math.ceil(group.length / 2);
			if (group.length === 1) groups.push(instead(group[0] as Part, error));
			else groups.push(group.slice(half), group.slice(0, half));
			continue;
		}
		await committed(group, result);
	}
	return undefined;
}

import {FaenaError} from '../support/errors.ts';

/**
 * True if the store refuses a write because of a value or a row: it would refuse it again. Any other failure, for instance a full
 * disk or a lock, may be over at the next try.
 */
export function isRefusal(error: unknown): error is FaenaError {
	return error instanceof FaenaError && (error.code === 'BadRow' || error.code === 'TooLarge');
}

/** How parts of a transaction are written. */
export interface Steps<Part, Result> {
	/** Writes the parts in one transaction, all of them or none and an error. */
	commit(parts: readonly Part[]): Promise<Result>;
	/** Gets the result of a transaction. If it throws, nothing more is written. */
	committed(parts: readonly Part[], result: Result): Promise<void>;
	/** What to write instead of a part that is refused by itself; nothing leaves it out. */
	instead(part: Part, refusal: FaenaError): readonly Part[];
}

/**
 * Writes the parts in order. A group of parts that the store refuses is split into halves, until each refused part is alone. What is
 * written instead of refused parts comes last and together, so that thousands of them don't take a commit each.
 * @returns what was not written because of an error that is no refusal, and that error; `undefined` if nothing is left
 */
export async function commitInParts<Part, Result>(
	parts: readonly Part[],
	{commit, committed, instead}: Steps<Part, Result>,
): Promise<{readonly left: readonly Part[]; readonly error: unknown} | undefined> {
	/** A stack: the next group is at its end. */
	const groups = [parts];
	const replacements: Part[] = [];
	for (;;) {
		const group = groups.pop() ?? replacements.splice(0);
		if (group.length === 0) return undefined;
		let result: Result;
		try {
			result = await commit(group);
		} catch (error) {
			if (!isRefusal(error)) return {left: [group, ...groups.toReversed(), replacements].flat(), error};
			const half = Math.ceil(group.length / 2);
			if (group.length === 1) replacements.push(...instead(group[0] as Part, error));
			else groups.push(group.slice(half), group.slice(0, half));
			continue;
		}
		await committed(group, result);
	}
}

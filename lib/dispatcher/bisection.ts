import {FaenaError} from '../support/errors.ts';

/**
 * True if the store refused a write because of a value or a row: it would refuse it again. After any other failure, such as a full
 * disk or a lock, the next try may succeed.
 */
export function isRefusal(error: unknown): error is FaenaError {
	return error instanceof FaenaError && (error.code === 'BadRow' || error.code === 'TooLarge');
}

/** How the parts of a transaction are written. */
interface PartWriter<Part, Result> {
	/** Writes the parts in one transaction, or writes none of them and throws. */
	commit(parts: readonly Part[]): Promise<Result>;
	/** Gets the result of each transaction. If it throws, nothing more is written. */
	committed(parts: readonly Part[], result: Result): Promise<void>;
	/** The parts to write in place of one that the store refuses by itself. An empty list leaves the part out. */
	replace(part: Part, refusal: FaenaError): readonly Part[];
}

/**
 * Writes the parts in order. It splits a group of parts that the store refuses into halves, until each refused part is alone. It writes
 * the replacements of refused parts last and together, so that thousands of them don't take a commit each.
 * @returns `undefined` if all is written. If an error that is not a refusal stopped it: the error, and the parts that are left
 */
export async function commitInParts<Part, Result>(
	parts: readonly Part[],
	{commit, committed, replace}: PartWriter<Part, Result>,
): Promise<{readonly left: readonly Part[]; readonly error: unknown} | undefined> {
	/** A stack: the next group is the last one. */
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
			if (group.length === 1) replacements.push(...replace(group[0] as Part, error));
			else groups.push(group.slice(half), group.slice(0, half));
			continue;
		}
		await committed(group, result);
	}
}

/**
 * Where the two values differ, as a path; `undefined` if one can stand for the other: the same types, prototypes, contents,
 * and order of properties and entries. Holds also where Node's deep equality is generous.
 */
export function difference(a: unknown, b: unknown, path = 'value'): string | undefined {
	if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return Object.is(a, b) ? undefined : path;
	if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return `prototype of ${path}`;
	return differenceOfLists(contentOf(a), contentOf(b), `${path}'s content`) ?? differenceOfProperties(a, b, path);
}

/** What a built-in holds besides its properties. */
function contentOf(value: object): readonly unknown[] {
	if (value instanceof Date) return [value.getTime()];
	if (value instanceof Map) return [...value].flat();
	if (value instanceof Set) return [...value];
	if (value instanceof ArrayBuffer) return [...new Uint8Array(value)];
	if (value instanceof DataView) return [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)];
	return [];
}

function differenceOfLists(a: readonly unknown[], b: readonly unknown[], path: string): string | undefined {
	if (a.length !== b.length) return `length of ${path}`;
	for (const [index, item] of a.entries()) {
		const found = difference(item, b[index], `${path}[${index}]`);
		if (found !== undefined) return found;
	}
	return undefined;
}

function differenceOfProperties(a: object, b: object, path: string): string | undefined {
	const [names, others] = [Reflect.ownKeys(a), Reflect.ownKeys(b)];
	// The order of an error's properties that are not enumerable does not matter.
	if (a instanceof Error) for (const each of [names, others]) each.sort();
	const found = differenceOfLists(names, others, `names in ${path}`);
	if (found !== undefined) return found;
	for (const name of names) {
		const [one, other] = [Object.getOwnPropertyDescriptor(a, name), Object.getOwnPropertyDescriptor(b, name)] as [PropertyDescriptor, PropertyDescriptor];
		if (one.enumerable !== other.enumerable) return `whether ${path}.${String(name)} is enumerable`;
		const found = difference(one.value, other.value, `${path}.${String(name)}`);
		if (found !== undefined) return found;
	}
	return undefined;
}

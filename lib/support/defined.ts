/** The fields that have a value, neither `undefined` nor null. For types whose optional fields are absent, and for rows of a database. */
export function defined<Fields extends object>(fields: Fields): {[Name in keyof Fields]?: NonNullable<Fields[Name]>} {
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null)) as {[Name in keyof Fields]?: NonNullable<Fields[Name]>};
}

/** The fields that are not `undefined`. For types whose optional fields are absent rather than `undefined`. */
export function defined<Fields extends object>(fields: Fields): {[Name in keyof Fields]?: Exclude<Fields[Name], undefined>} {
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
		[Name in keyof Fields]?: Exclude<Fields[Name], undefined>;
	};
}

/** The fields that are not null: of a row of a database. */
export function withoutNulls<Fields extends object>(fields: Fields): {[Name in keyof Fields]?: NonNullable<Fields[Name]>} {
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)) as {[Name in keyof Fields]?: NonNullable<Fields[Name]>};
}

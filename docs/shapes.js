/**
 * Compares the public types with the table "One shape for each idea" of options.md: a name that it has, or that a pattern such as `*Ms` fits, has one of the
 * types that it says; and no option has a unit in its name.
 */
import {readFileSync} from 'node:fs';
import {ReflectionKind} from 'typedoc';

const {Property, Accessor, Parameter} = ReflectionKind;
const OPTIONS = /(Options|Changes|Search|Filter|QueueJob|Cleanup)$/;
/** Values, the contract of stores, and what belongs to others: a pool of `pg`, and anything that has a `close()`. */
const OUTSIDE = /^index\.DEFAULTS|^store\.|Postgres|closable/;
const UNIT = /(Ms|Bytes|Seconds|Mb)$/;

/** Sentences about names that depart from the table. */
export function departuresFrom(project) {
	const shapes = readTable();
	return project.getReflectionsByKind(Property | Accessor | Parameter).flatMap(reflection => {
		const path = reflection.getFullName();
		// A share in percent stands in the table as one that a program writes.
		const type = (reflection.type ?? reflection.getSignature?.type)
			?.toString()
			.replace(/`[^`]*%`/, "'300%'")
			.replaceAll('"', "'");
		const isForeign = reflection.sources?.some(({fileName}) => fileName.includes('node_modules'));
		if (!type || isForeign || OUTSIDE.test(path)) return [];
		const found = shapes.filter(({names}) => names.some(name => name.test(reflection.name)));
		const allowed = new Set(found.flatMap(({types}) => types));
		const wrong = found.length === 0 ? [] : type.split(' | ').filter(part => !['undefined', 'null', ...allowed].includes(part));
		const hasUnit = path.split('.').some(each => OPTIONS.test(each)) && UNIT.test(reflection.name);
		return [
			...(wrong.length > 0 ? [`${path} is ${type}; ${reflection.name} is ${[...allowed].join(' or ')} elsewhere`] : []),
			...(hasUnit ? [`${path} is an option with a unit in its name`] : []),
		];
	});
}

function readTable() {
	const page = readFileSync(new URL('options.md', import.meta.url), 'utf8');
	const [, section = ''] = page.split('## One shape for each idea');
	const rows = section
		.split('\n## ')[0]
		.split('\n')
		.filter(line => /^\| [A-Z]/.test(line))
		.slice(1);
	const codes = cell => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code);
	return rows.flatMap(row => {
		const [, , names, types, readNames, readTypes] = row.split('|');
		return [
			[names, types],
			[readNames, readTypes],
		].map(([some, of]) => ({names: codes(some).map(toPattern), types: codes(of)}));
	});
}

function toPattern(name) {
	return new RegExp(`^${name.replace('*', '\\w*')}$`);
}

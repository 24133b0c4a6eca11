/** Writes `docs/fields.md` from the docstrings of the types that a program reads: `npm run docs -- --write`. Without it, `npm run docs` compares. */
import {ReflectionKind} from 'typedoc';

/** By title: the type of an entry, and where a program gets it. */
const TYPES = [
	['A job', 'JobInfo', '`await job.info()`, and but for payload, result, parents, children, logs and history each job of `jobs()`'],
	['Why a job failed', 'JobError', '`error` of a job, the `cause` of `JobFailed`'],
	['How a map goes', 'MapProgress', '`map.progress()`'],
	['How a pipe goes', 'PipeProgress', '`pipe.progress()`'],
	['An item of a map', 'MapResult', 'each item of `for await (const item of map)`'],
	['A batch', 'BatchInfo', '`await batch.info()`, `await faena.batches()`'],
	['A schedule', 'ScheduleInfo', '`await schedule.info()`, `await faena.schedules()`'],
	['A parent of a job', 'ParentOutcome', '`ctx.parents` of a task'],
	['The figures of an engine', 'EngineStats', '`await faena.stats()`'],
];

export function fieldsPage(project) {
	const sections = TYPES.map(([title, name, where]) => {
		const rows = fieldsOf(project.getChildByName(`index.${name}`)).map(([path, type, text]) => `| \`${path}\` | ${code(type)} | ${cell(text)} |`);
		return `## ${title}\n\n\`${name}\`: ${where}.\n\n| Field | Type | |\n| --- | --- | --- |\n${rows.join('\n')}\n`;
	});
	return `# What you read\n\n<!-- \`npm run docs -- --write\` writes this page from the docstrings. -->\n\nThe fields of what Faena returns. A field with a \`?\` is absent if it is not known. Times are milliseconds since 1970,\nlengths of time are milliseconds, sizes are bytes.\n\n${sections.join('\n')}`;
}

/** Each field by its path. Fields of objects without a name follow their object. */
function fieldsOf(reflection, before = '') {
	const type = reflection.type;
	// Of a union of objects each one tells of its fields; those with the same name and text are one.
	if (type?.type === 'union') return unique(type.types.flatMap(each => fieldsOf({children: each.declaration?.children, type: each.target && each}, before)));
	if (type?.type === 'intersection') return unique(type.types.flatMap(each => fieldsOf(each.declaration ?? each.reflection ?? {}, before)));
	const children = reflection.children ?? type?.declaration?.children ?? [];
	return children.filter(isOwnField).flatMap(child => {
		const path = `${before}${child.name}${child.flags.isOptional ? '?' : ''}`;
		const inner = innerOf(child.type);
		const text = (child.comment?.summary ?? []).map(part => part.text).join('');
		if (!inner) return [[path, child.type?.toString() ?? '', text]];
		const isByName = child.type.toString().includes('Record<');
		const shown = isByName ? 'an object by name' : child.type.type === 'reflection' ? 'an object' : 'a list';
		return [[path, shown, text], ...fieldsOf(inner, `${path.replace('?', '')}${isByName ? '.*' : ''}.`)];
	});
}

function isOwnField(child) {
	return child.kindOf(ReflectionKind.Property) && !child.sources?.some(({fileName}) => fileName.includes('node_modules'));
}

/** The object type without a name that a field, or each element of its list, has. */
function innerOf(type) {
	if (type?.type === 'reflection') return type.declaration.children ? type.declaration : undefined;
	if (type?.type === 'typeOperator') return innerOf(type.target);
	if (type?.type === 'array') return innerOf(type.elementType);
	if (type?.type === 'reference' && ['Readonly', 'Record'].includes(type.name)) return innerOf(type.typeArguments.at(-1));
	return undefined;
}

/** One row for each path, with all its types. */
function unique(rows) {
	return [...Map.groupBy(rows, ([path]) => path)].map(([path, same]) => [
		path,
		[...new Set(same.map(([, type]) => type))].join(' | '),
		same.find(([, , text]) => text !== '')?.[2] ?? '',
	]);
}

function code(type) {
	return type.startsWith('a') && type.includes(' ') && !type.includes('|') ? type : `\`${type.replaceAll('|', '\\|')}\``;
}

function cell(text) {
	return text.replaceAll('\n', ' ').replaceAll('|', '\\|');
}

/**
 * `npm run docs [-- --write]`: builds the API reference from the docstrings of the package's entries into `docs/reference/`. Ends with 1 if a
 * public name has no docstring, departs from the table of shapes, or if docs/fields.md is of others; `--write` writes that page.
 */
import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {Application, ReflectionKind} from 'typedoc';
import {fieldsPage} from './fields.js';
import {departuresFrom} from './shapes.js';

const {Variable, Function: FunctionKind, Class, Interface, TypeAlias, Property, Method, Accessor} = ReflectionKind;
const NAMED = Variable | FunctionKind | Class | Interface | TypeAlias | Property | Method | Accessor;

const path = relative => fileURLToPath(new URL(relative, import.meta.url));

/** Types that TypeScript computes from those of a program, in signatures. No program writes them down. */
const COMPUTED = [
	...[
		'ContextTypes',
		'EnqueueArgs',
		'EnqueueInArgs',
		'FieldsOfCommand',
		'FieldsOfQueue',
		'Given',
		'HandleOf',
		'JobArgs',
		'LastOutput',
		'MapArgs',
		'PipeArg',
		'PipeArgs',
	],
	...['PipeSource', 'POLICY_NUMBERS', 'ProblemOf', 'Stored', 'Unit', 'Without'],
];

const app = await Application.bootstrap({
	name: 'Faena',
	entryPoints: ['index', 'queue', 'store', 'testing'].map(name => path(`../lib/${name}.ts`)).filter(existsSync),
	out: path('reference'),
	tsconfig: path('tsconfig.json'),
	readme: 'none',
	excludePrivate: true,
	excludeInternal: true,
	validation: {notExported: true},
	intentionallyNotExported: COMPUTED,
});
const project = await app.convert();
if (project === undefined) process.exit(1);

const missing = project.getReflectionsByKind(NAMED).filter(reflection => isOwn(reflection) && !isDocumented(reflection));
for (const reflection of missing) console.log(`No docstring: ${reflection.getFullName()} (${reflection.sources?.[0]?.fileName})`);
const departures = departuresFrom(project);
for (const sentence of departures) console.log(sentence);
if (missing.length + departures.length > 0) process.exitCode = 1;

const fields = fieldsPage(project);
if (process.argv.includes('--write')) writeFileSync(path('fields.md'), fields);
else if (!existsSync(path('fields.md')) || readFileSync(path('fields.md'), 'utf8') !== fields) {
	console.log('docs/fields.md is not what the docstrings say: npm run docs -- --write');
	process.exitCode = 1;
}

// Each warning of these checks names a type that a signature has and no entry exports, or a link to something that is not public.
const before = app.logger.warningCount;
app.validate(project);
if (app.logger.warningCount > before) process.exitCode = 1;
await app.generateOutputs(project);

/** A member of a class or interface of ours, and not of an object type without a name. */
function isOwn(reflection) {
	const isNested = reflection.parent?.kind === ReflectionKind.TypeLiteral;
	const isForeign = reflection.sources?.some(({fileName}) => fileName.includes('node_modules')) ?? false;
	return !isNested && !isForeign && reflection.inheritedFrom === undefined;
}

function isDocumented(reflection) {
	return [
		reflection,
		...(reflection.signatures ?? []),
		reflection.getSignature,
		reflection.type?.declaration,
		...(reflection.type?.declaration?.signatures ?? []),
	].some(each => each?.hasComment());
}

import {readFileSync} from 'node:fs';
import test from 'ava';
import {MAP_CHECKS} from '../../lib/api/maps/map-options.ts';
import {OPEN_CHECKS} from '../../lib/api/open-options.ts';
import {DEFAULTS} from '../../lib/index.ts';
import {JOB_CHECKS, TASK_CHECKS} from '../../lib/job/options.ts';

/** Options by their section of docs/options.md, each with its default as the document has it. */
const sections = readFileSync(new URL('../../docs/options.md', import.meta.url), 'utf8')
	.split(/^## /m)
	.slice(1)
	.map(section => new Map([...section.matchAll(/^\| `(\w+)` \| (.*?) \|/gm)].map(([, name = '', written = '']) => [name, written])))
	// The table of shapes is not one of options.
	.filter(table => table.size > 0);
const [ofJob, ofTask, ofOpen, ofMap] = sections as [Map<string, string>, Map<string, string>, Map<string, string>, Map<string, string>];

test('docs/options.md has every option that is accepted, and no other', t => {
	t.is(sections.length, 4);
	const names = (...tables: Map<string, string>[]) => tables.flatMap(table => [...table.keys()]).sort();
	t.deepEqual(names(ofJob), Object.keys(JOB_CHECKS).sort());
	const ofJobOnly = ['key', 'unique', 'delay', 'runAt', 'expires', 'dependsOn', 'onParentDead', 'scope'];
	t.deepEqual([...new Set(names(ofJob, ofTask))].filter(name => !ofJobOnly.includes(name)).sort(), Object.keys(TASK_CHECKS).sort());
	t.deepEqual(names(ofOpen), Object.keys(OPEN_CHECKS).sort());
	t.deepEqual(names(ofMap), Object.keys(MAP_CHECKS).sort());
});

test('docs/options.md has the right defaults', t => {
	const literal = (value: unknown) =>
		`\`${JSON.stringify(value)
			.replaceAll(/"(\w+)":/g, '$1: ')
			.replaceAll('"', "'")
			.replaceAll(/,(\w)/g, ', $1')}\``;
	const tables = [
		[ofJob, DEFAULTS.job],
		[ofOpen, DEFAULTS.open],
		[ofMap, DEFAULTS.map],
	] as const;
	for (const [written, defaults] of tables) {
		const withDefault = [...written].filter(([, each]) => each.startsWith('`'));
		t.deepEqual(Object.fromEntries(withDefault), Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, literal(value)])));
	}
});

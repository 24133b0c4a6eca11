/** Follows pages of docs from top to bottom, with the packed package, as a new user does. */
import {mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test from 'ava';
import {installPacked} from './fixtures/packed.ts';
import {firstMissing, readPage, type Step, take} from './fixtures/pages.ts';

const folder = mkdtempSync(join(tmpdir(), 'faena-pages-'));
let tarball: string;

test.before('packs the package, and installs it', async t => {
	t.timeout(300_000);
	tarball = await installPacked(folder);
});

test.after.always(() => rmSync(folder, {recursive: true, force: true}));

test.serial('every step of docs/getting-started.md works, and prints what is written below it', async t => {
	t.timeout(300_000);
	const project = mkdtempSync(join(tmpdir(), 'faena-getting-started-'));
	t.teardown(() => rmSync(project, {recursive: true, force: true}));
	const steps = readPage('getting-started.md').flatMap(section => section.steps);
	t.true(steps.length > 8);
	for (const step of steps) {
		const commands = step.commands?.replace('npm install faena', `npm install --prefer-offline ${tarball}`);
		const printed = await take({...step, commands}, project);
		// On a slow machine the job that fails may be dead before the program is interrupted.
		const shown = printed.replace(/pending, 1 dead/, 'pending, 1 failed');
		if (step.output !== undefined) t.is(firstMissing(step.output, shown), undefined, `${commands}\n${printed}`);
	}
});

for (const {title, steps} of readPage('recipes.md').slice(1)) {
	test.serial(`the recipe works, and prints what is written below it: ${title}`, async t => {
		t.timeout(120_000);
		const project = join(folder, title.replaceAll(/\W+/g, '-'));
		mkdirSync(project);
		symlinkSync(join(folder, 'node_modules'), join(project, 'node_modules'));
		writeFileSync(join(project, 'package.json'), '{"type": "module"}');
		t.true(steps.some(({output}) => output !== undefined));
		for (const step of steps) t.is(await outputOf(step, project), step.output);
	});
}

async function outputOf(step: Step, project: string): Promise<string | undefined> {
	const printed = await take(step, project);
	return step.output === undefined && printed === '' ? undefined : printed;
}

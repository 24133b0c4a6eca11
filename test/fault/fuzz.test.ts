import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {fuzz, type Kind} from './fuzz/kinds.ts';

/** The short form of `npm run fuzz`. */
const KINDS: readonly [kind: Kind, runs: number, title: string][] = [
	['values', 500, 'whatever is given, returned, kept or thrown comes back the same, or is refused by name'],
	['decoder', 3000, 'whatever is stored is read as something that belongs there, or refused'],
];

for (const [kind, runs, title] of KINDS) {
	test(title, async t => {
		t.timeout(170_000);
		const seed = Date.now() % 2 ** 31;
		t.log(`npm run fuzz -- --what ${kind} --seed ${seed} --runs ${runs}`);
		const {counts, broken} = await fuzz(kind, {seed, runs, folder: makeFolder(t)});
		t.deepEqual(broken, []);
		t.true(Object.keys(counts).length > 1);
	});
}

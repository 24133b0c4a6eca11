import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {SEED} from '../fixtures/random.ts';
import {KINDS, type Kind} from './fuzz/kinds.ts';

/** The short form of `npm run fuzz`. */
const TRIED: readonly [kind: Kind, runs: number, title: string][] = [
	['values', 500, 'whatever is given, returned, kept or thrown comes back the same, or is refused by name'],
	['decoder', 3000, 'whatever is stored is read as something that belongs there, or refused'],
	['cli', 300, 'whatever the words of a command, it does it or says in a sentence why not; whatever lines come, they are read or refused'],
	['rows', 30, 'with any rows in a database, opening it or a call on it succeeds or is refused'],
	['engines', 20, 'with any rows in a database, an engine on it soon does its work, or reports the rows that prevent it'],
];

for (const [kind, runs, title] of TRIED) {
	test(title, async t => {
		t.timeout(170_000);
		t.log(`Again: npm run fuzz -- --what ${kind} --seed ${SEED} --runs ${runs}`);
		const {counts, broken} = await KINDS[kind].fuzz({seed: SEED, runs, folder: makeFolder(t)});
		t.deepEqual(broken, []);
		// A few runs may all end in the same way.
		t.true(Object.keys(counts).length > (runs < 100 ? 0 : 1));
	});
}

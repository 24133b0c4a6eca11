/** `faena map` is killed at random moments, again and again: `FAENA_TIMES=50 npx ava test/cli/kills.test.ts` kills each 50 times. */
import {once} from 'node:events';
import {setTimeout as sleep} from 'node:timers/promises';
import {tellSeed} from '../fixtures/again.ts';
import {test} from '../fixtures/engine.ts';
import {areGone, countAlive, endAll, makeToken} from '../fixtures/processes.ts';
import {between, SEED, seeded} from '../fixtures/random.ts';
import {Folder, parse, tasks} from './command.ts';

const KILLS = Number(process.env['FAENA_TIMES'] ?? 3);
/** Each run of a command is killed so often before it may end. */
const KILLS_OF_A_RUN = 5;
const ITEMS = 150;
const MAX_MS = 2000;

const token = makeToken();
/** The words after `faena map`, and what a line of stdout says of its item. */
const WAYS: Readonly<Record<string, {readonly words: readonly string[]; readonly itemOf: (line: string) => string}>> = {
	'a task': {words: [tasks('traces-executions', 'compute'), '--range', `1..${ITEMS}`], itemOf: line => parse(`${line}\n`)[0]?.key as string},
	// The lock is that of all processes of an item's commands: one that runs beside another of the same item fails.
	'a command': {words: ['--sh', `flock -n lock-{} sleep 0.02 && echo {}; : ${token}`, '--range', `1..${ITEMS}`], itemOf: line => line},
};

if (process.platform === 'linux') {
	for (const [way, {words, itemOf}] of Object.entries(WAYS)) {
		test(`${way}: after kills at random moments each item is printed once, and nothing that ran is left`, async t => {
			t.timeout(120_000 + 10_000 * KILLS);
			tellSeed(t, {FAENA_TIMES: KILLS});
			t.teardown(() => endAll(token));
			const random = seeded(SEED);
			const folder = new Folder(t);
			for (let kills = 0, run = 0; kills < KILLS; run++) {
				const command = ['map', ...words, '--queue', `${run}.db`, '-j', '3'];
				for (let kill = 0; kill < KILLS_OF_A_RUN && kills < KILLS; kill++, kills++) {
					const {child} = folder.faena(...command);
					const ended = once(child, 'exit');
					await Promise.race([sleep(between(random, 0, MAX_MS)), ended]);
					child.kill('SIGKILL');
					await ended;
				}
				const {code, stdout, stderr} = await folder.faena(...command).end();
				t.is(code, 0, stderr);
				const items = stdout.trimEnd().split('\n').map(itemOf);
				t.deepEqual(
					items.toSorted((a, b) => Number(a) - Number(b)),
					Array.from({length: ITEMS}, (_, index) => `${index + 1}`),
				);
				t.is(countAlive(token), 0);
			}
			await areGone(token);
		});
	}
}

import {mkdtempSync} from 'node:fs';
import {join} from 'node:path';
import {tellSeed} from '../fixtures/again.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {drawn, SEED} from '../fixtures/random.ts';
import {type Campaign, run} from './torture/campaign.ts';
import {judge} from './torture/verdict.ts';

/** The short form of `npm run torture`. */
const CAMPAIGNS: Readonly<Record<string, Omit<Campaign, 'seed' | 'kills'>>> = {
	'a program that is killed again and again': {endings: ['SIGKILL'], slots: 1, isolation: 'thread', cleans: true},
	'three programs on one file that are killed again and again': {endings: ['SIGKILL'], slots: 3, isolation: 'thread', cleans: false},
	'programs whose tasks run in processes, killed again and again': {endings: ['SIGKILL'], slots: 2, isolation: 'process', cleans: false},
	'programs that are suspended past their lease, while others take over': {endings: ['SIGSTOP'], slots: 3, isolation: 'thread', cleans: false},
	'eight programs on one file': {endings: ['close'], slots: 8, isolation: 'thread', cleans: false},
	'programs that are told to end again and again': {endings: ['SIGTERM', 'SIGINT'], slots: 2, isolation: 'thread', cleans: false},
};

for (const [who, campaign] of drawn(Object.entries(CAMPAIGNS), 1)) {
	test(`nothing is lost, repeated or stuck: ${who}`, async t => {
		t.timeout(170_000);
		tellSeed(t);
		const evidence = await run({...campaign, seed: SEED, kills: 5}, mkdtempSync(join(makeFolder(t), 'campaign-')));
		t.deepEqual(judge(evidence), []);
		t.true(evidence.told.some(({what}) => what === 'enqueued') && evidence.steps.length > 0);
	});
}

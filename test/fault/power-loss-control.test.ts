import {join} from 'node:path';
import {tellSeed} from '../fixtures/again.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {SEED} from '../fixtures/random.ts';
import {whyNoFaultyDisk} from './disk/disk.ts';
import {losePower, record} from './disk/power-loss.ts';

const reason = whyNoFaultyDisk();
const testOnRecordedDisk = reason ? test.skip : test;
const because = reason ? ` (${reason})` : '';

testOnRecordedDisk(`with durability normal a loss of power takes what was told last, and damages nothing${because}`, async t => {
	t.timeout(600_000);
	tellSeed(t);
	const folder = makeFolder(t);
	const {broken} = await losePower(folder, await record(join(folder, 'run'), 'normal'), {perMoment: 1, seed: SEED});
	t.deepEqual(
		broken.filter(promise => !/^(Lost|Forgotten)/.test(promise)),
		[],
	);
	t.true(broken.length > 0, 'else the other test proves nothing');
});

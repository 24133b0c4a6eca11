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

testOnRecordedDisk(`whenever power is lost, nothing is lost that the program was told${because}`, async t => {
	t.timeout(600_000);
	tellSeed(t);
	const folder = makeFolder(t);
	const {broken, different, moments} = await losePower(folder, await record(join(folder, 'run'), 'full'), {perMoment: 0.4, seed: SEED});
	t.deepEqual(broken, []);
	t.log(`${moments} moments, ${different} different states`);
});

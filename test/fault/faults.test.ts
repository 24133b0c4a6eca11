import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {whyNoFaultyDisk} from './disk/disk.ts';
import {allFaults, tryFault} from './disk/faults.ts';

/** A prime, so that each kind of fault and of call is among them; `npm run faults` tries all. */
const EVERY = 149;

const reason = whyNoFaultyDisk();
const testOnFaultyDisk = reason ? test.skip : test;

testOnFaultyDisk(`whatever a call to the disk ends with, no promise is broken${reason ? ` (${reason})` : ''}`, async t => {
	t.timeout(170_000);
	const folder = makeFolder(t);
	const faults = (await allFaults(folder)).filter((_, index) => index % EVERY === 5);
	for (const fault of faults) t.deepEqual((await tryFault(`${folder}/one`, fault)).broken, [], JSON.stringify(fault));
	t.log(`${faults.length} faults`);
});

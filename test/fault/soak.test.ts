import {join} from 'node:path';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {leaksOf, type Sample, soak} from './soak/soak.ts';

test('round after round an engine holds no more files, descriptors, resources and memory', async t => {
	t.timeout(170_000);
	const samples: Sample[] = [];
	await soak(join(makeFolder(t), 'jobs.db'), 0, sample => samples.push(sample));
	for (const sample of samples) t.log(JSON.stringify(sample));
	t.deepEqual(leaksOf(samples), []);
	t.true((samples.at(-1) as Sample).filesMb < 64);
});

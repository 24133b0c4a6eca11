import {fileURLToPath} from 'node:url';
import test from 'ava';
import {Folder} from '../cli/command.ts';

const MAIN = fileURLToPath(new URL('../../examples/plain-queue/main.ts', import.meta.url));

test('the example of a plain queue uses every verb, any number of times', async t => {
	const folder = new Folder(t);
	for (let round = 0; round < 2; round++) {
		const {code, stdout, stderr} = await folder.run(MAIN).end();
		t.is(code, 0, stderr);
		t.is(
			stdout,
			["by hand: { file: 'urgent.png' }", "by hand: { file: 'a.png' }", '4 completed, 2 dead', 'no address of Ana', 'retried: 1', 'deleted: 6', ''].join('\n'),
		);
	}
});

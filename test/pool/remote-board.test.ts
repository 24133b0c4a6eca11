import {openSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {createRegions, EXAMINATION_BYTES, Guard} from '../../lib/pool/processes/child-board.ts';
import {RemoteBoards} from '../../lib/pool/processes/remote-board.ts';
import {boardAt} from '../../lib/pool/processes/rendezvous.ts';
import {makeFolder} from '../fixtures/folder.ts';

test('what is found of a process is what its guard found last, however much it found before', async t => {
	const folder = makeFolder(t);
	const place = join(folder, '.');
	let found = {stack: ''};
	// The waits between keep no process alive.
	const heart = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(heart));
	const boards = new RemoteBoards(place, command => void guard.obey(command));
	const guard = new Guard({regions: createRegions(), file: openSync(boardAt(place), 'r+'), heapLimitBytes: 0}, async () => found);
	for (const stack of ['a long one '.repeat(100), 'a short one', 'x'.repeat(EXAMINATION_BYTES), 'the last']) {
		found = {stack};
		t.deepEqual(await boards.examine(), stack.length < EXAMINATION_BYTES ? found : undefined);
	}
	boards.close();
});

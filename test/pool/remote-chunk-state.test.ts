import {openSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {createRegions, EXAMINATION_BYTES, Watchdog} from '../../lib/pool/processes/child-chunk-state.ts';
import {RemoteChunkStates} from '../../lib/pool/processes/remote-chunk-state.ts';
import {boardAt} from '../../lib/pool/processes/rendezvous.ts';
import {makeFolder} from '../fixtures/folder.ts';

test('what is found of a process is what its guard found last, however much it found before', async t => {
	const folder = makeFolder(t);
	const place = join(folder, '.');
	let found = {stack: ''};
	// The waits between keep no process alive.
	const heart = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(heart));
	const chunkStates = new RemoteChunkStates(place, command => void watchdog.obey(command));
	const watchdog = new Watchdog({regions: createRegions(), file: openSync(boardAt(place), 'r+'), heapLimitBytes: 0}, async () => found);
	for (const stack of ['a long one '.repeat(100), 'a short one', 'x'.repeat(EXAMINATION_BYTES), 'the last']) {
		found = {stack};
		t.deepEqual(await chunkStates.examine(), stack.length < EXAMINATION_BYTES ? found : undefined);
	}
	chunkStates.close();
});

import {on} from 'node:events';
import {Worker} from 'node:worker_threads';
import test from 'ava';
import {WORKER_ARGS} from '../../lib/support/node.ts';
import type {Found} from '../fixtures/spoiled-runner.ts';

test('whichever function of JavaScript a task replaces, no job that fails or is stopped in its worker is reported as completed, and none with another result', async t => {
	t.timeout(240_000);
	const found: Found[] = [];
	let isOver = false;
	for (let tried = 0; !isOver; tried++) {
		for await (const each of trials(tried)) {
			if (each === 'all') isOver = true;
			else {
				found.push(each);
				tried++;
			}
		}
		// The next one has ended the worker, or silenced it: nothing that it says of its neighbours is taken for true.
	}
	t.true(found.length > 1500);
	t.deepEqual(
		shown(found, 'thrown').filter(line => !UNTOLD.test(line)),
		[],
	);
	t.deepEqual(shown(found, 'changed'), []);
});

/** Without these Node itself reports no rejection. */
const UNTOLD = /^(Function.prototype.apply|MapIterator.prototype.next) .*: leaveRejection$/;

function shown(found: readonly Found[], which: 'thrown' | 'changed'): string[] {
	return found.filter(each => each[which].length > 0).map(each => `${each.title}: ${[...new Set(each[which])].join(', ')}`);
}

/** What a worker finds until it is lost. */
async function* trials(first: number): AsyncGenerator<Found | 'all'> {
	const worker = new Worker(new URL('../fixtures/spoiled-runner.ts', import.meta.url), {workerData: first, stderr: true, execArgv: [...WORKER_ARGS]});
	const quiet = new AbortController();
	worker.on('error', () => quiet.abort()).on('exit', () => quiet.abort());
	let timer = setTimeout(() => quiet.abort(), 5000);
	try {
		for await (const [found] of on(worker, 'message', {signal: quiet.signal})) {
			clearTimeout(timer);
			timer = setTimeout(() => quiet.abort(), 1000);
			yield found as Found | 'all';
			if (found === 'all') return;
		}
	} catch {
		// It is lost, or silent.
	} finally {
		clearTimeout(timer);
		await worker.terminate();
	}
}

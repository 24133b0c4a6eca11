/**
 * A pool's child process: Tinypool calls the default export for each message. The first one loads the tasks module and
 * starts the guard thread, which stops and takes back jobs while a task computes, and ends the process with its parent.
 */
import {once} from 'node:events';
import {getHeapStatistics} from 'node:v8';
import {Worker} from 'node:worker_threads';
import {ChildBoard, createRegions, type GuardStart, openBoardFile} from '../lib/pools/child-board.ts';
import type {WorkerRequest} from '../lib/protocol.ts';
import {WorkerLife} from '../lib/worker-life.ts';
import {workerUrl} from '../lib/worker-url.ts';

// A terminal sends Ctrl-C to its whole process group, and a service manager SIGTERM to all of a service: when this process
// ends is its parent's to decide.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

let boards: GuardStart | undefined;

const life = new WorkerLife({
	kind: 'process',
	post: message => process.send?.(message),
	openBoard(generation) {
		const {regions, file} = boards as GuardStart;
		return new ChildBoard(regions, generation as number, file);
	},
});

export default async function handle(request: WorkerRequest & {readonly boardFile: string}): Promise<unknown> {
	if (request.type !== 'load') return life.handle(request);
	boards = {regions: createRegions(), file: openBoardFile(request.boardFile), heapLimitBytes: getHeapStatistics().heap_size_limit};
	// No task runs before the guard is on duty.
	const [loaded] = await Promise.all([life.handle(request), startGuard(boards)]);
	return loaded;
}

async function startGuard(start: GuardStart): Promise<void> {
	const guard = new Worker(workerUrl('guard'), {workerData: start, name: 'faena guard'});
	await once(guard, 'message');
	guard.unref();
}

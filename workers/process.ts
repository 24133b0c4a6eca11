/**
 * A pool's child process: Tinypool calls the default export for each message. The first one loads the tasks module and
 * starts the guard thread, which stops and takes back jobs while a task computes, and ends the process with its parent.
 */
import {openSync} from 'node:fs';
import {Worker} from 'node:worker_threads';
import {ChildBoard, createRegions, type GuardStart, type Regions} from '../lib/pools/child-board.ts';
import type {ChunkMessage, LoadMessage} from '../lib/protocol.ts';
import {WorkerLife} from '../lib/worker-life.ts';
import {workerUrl} from '../lib/worker-url.ts';

// A terminal sends Ctrl-C to its whole process group, and a service manager SIGTERM to all of a service: when this process
// ends is its parent's to decide.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

let boards: {readonly regions: Regions; readonly file: number} | undefined;

const life = new WorkerLife({
	post: message => process.send?.(message),
	openBoard(generation) {
		const {regions, file} = boards as GuardStart;
		return new ChildBoard(regions, generation as number, file);
	},
});

export default function handle(request: (LoadMessage & {readonly boardFile: string}) | ChunkMessage): Promise<unknown> {
	if (request.type === 'load') {
		boards = {regions: createRegions(), file: openSync(request.boardFile, 'r+')};
		const guard = new Worker(workerUrl('guard'), {workerData: boards satisfies GuardStart, name: 'faena guard'});
		guard.unref();
	}
	return life.handle(request);
}

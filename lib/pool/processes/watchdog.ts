import {once} from 'node:events';
import {Session} from 'node:inspector';
import {serialize} from 'node:v8';
import {Worker} from 'node:worker_threads';
import type {PostMortem} from '../../job/failure.ts';
import type {StopReason} from '../../job/job.ts';
import {workerUrl} from '../../support/node.ts';
import {wait} from '../../support/primordials.ts';
import {ChunkState} from '../../worker/chunk-state.ts';
import type {WorkerMessage} from '../../worker/messages.ts';
import {type InspectorClient, takeStackSnapshot} from '../stack-snapshot.ts';
import type {Examination} from '../worker-source.ts';
import {type Regions, regionOf} from './chunk-states.ts';

/**
 * The watchdog is a thread of a child process, whose event loop turns also while a task computes. It obeys the pool's
 * commands, one after the other, and sends what the main thread posts.
 */
export type WatchdogCommand =
	| {readonly generation: number; readonly take: readonly number[]}
	| {readonly generation: number; readonly stop: number; readonly reason: StopReason}
	/** Find out where the main thread is and what its heap holds. */
	| {readonly examine: true};

/** What came of a command. Answers come in the order of the commands. */
export interface WatchdogAnswer {
	readonly type: 'answer';
	/** The jobs that were taken back. */
	readonly taken?: readonly number[];
	/** The job was told to stop. */
	readonly isStopping?: boolean;
	readonly examination?: Examination;
}

/** What the watchdog thread is started with. */
export interface WatchdogStart {
	readonly regions: Regions;
	/** Folder in which the pool waits. */
	readonly rendezvous: string;
	/** In which to hold a share. */
	readonly ownerLock: string | undefined;
	/** Of the main thread. */
	readonly heapLimitBytes: number;
	/** How many messages of the main thread it has sent. */
	readonly sent: Int32Array;
}

/**
 * Starts the watchdog; resolves when it is on duty. Returns how the main thread posts messages to the pool: each is waited for until it
 * has left the process. So whatever ends the process next, the pool has all messages; and a process can't post more than its pool takes.
 */
export async function startWatchdog(start: Omit<WatchdogStart, 'sent'>): Promise<(message: WorkerMessage) => void> {
	const sent = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
	const watchdog = new Worker(workerUrl('watchdog'), {workerData: {...start, sent} satisfies WatchdogStart, name: 'faena watchdog'});
	await once(watchdog, 'message');
	watchdog.unref();
	let posted = 0;
	return message => {
		const body = serialize(message);
		watchdog.postMessage(body, [body.buffer as ArrayBuffer]);
		wait(sent, 0, posted);
		posted = (posted + 1) | 0;
	};
}

/** The watchdog's part. */
export async function obey(command: WatchdogCommand, regions: Regions, examine: () => Promise<Examination>): Promise<WatchdogAnswer> {
	const type = 'answer';
	if ('examine' in command) return {type, examination: await examine()};
	const {generation} = command;
	const chunkState = new ChunkState(regionOf(regions, generation), generation);
	if ('take' in command) return {type, taken: command.take.filter(index => chunkState.take(index))};
	return {type, isStopping: chunkState.stop(command.stop, command.reason)};
}

/** Where the main thread of this process is and what its heap holds, asked by another of its threads. */
export async function examineMainThread(heapLimitBytes: number): Promise<Examination> {
	const session = new Session();
	session.connectToMainThread();
	const client: InspectorClient = {
		post: (method, params) => new Promise(resolve => session.post(method, params, (_, answer) => resolve(answer))),
		onEvent: () => undefined,
		close: () => session.disconnect(),
	};
	session.on('inspectorNotification', ({method, params}) => client.onEvent(method, params as never));
	let heap: PostMortem['heap'];
	void client.post('Runtime.getHeapUsage').then(usage => {
		if (usage) heap = {usedBytes: (usage as HeapUsage).usedSize, limitBytes: heapLimitBytes};
	});
	const stack = await takeStackSnapshot(client);
	return {...stack, ...(heap && {heap})};
}

interface HeapUsage {
	readonly usedSize: number;
}

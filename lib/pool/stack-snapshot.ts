import {type Debugger, type Runtime, Session} from 'node:inspector';
import type {PostMortem} from '../job/failure.ts';
import {withoutCallers} from '../support/stack.ts';
import type {Examination} from './pool.ts';

export const NO_ANSWER: Examination = {noStack: 'It did not answer: it was in native code, or blocked.'};

/** A thread that runs JavaScript or waits answers within tens of milliseconds, under heavy load within hundreds. A thread in native code does not answer. */
export const ANSWER_MS = 1500;

/** The snapshot that is being taken, one at a time, since each inspector session receives the events of all threads; and the last one in the queue. */
let current: Promise<unknown> = Promise.resolve();
let last: Promise<Examination> = Promise.resolve(NO_ANSWER);
/** Threads that are being ended. A thread in native code ends after that code returns; snapshots do not wait for that. */
const ending = new Set<Promise<unknown>>();

/** Takes a snapshot of another thread of this process. The main thread's inspector relays it, so the main thread must be free to answer. */
export function takeThreadSnapshot(threadId: number): Promise<Examination> {
	last = last.then(async () => {
		while (ending.size > 0) await Promise.all(ending);
		const snapshot = connectAndTake(threadId).catch(() => NO_ANSWER);
		current = snapshot;
		return snapshot;
	});
	return last;
}

/** Ends threads between two snapshots: Node aborts the process if its inspector attaches to a thread that is just ending. */
export async function endThreads(end: () => Promise<unknown>): Promise<void> {
	const ended = current.then(end);
	const gone = within(ANSWER_MS, ended).catch(() => undefined);
	ending.add(gone);
	void gone.then(() => ending.delete(gone));
	await ended;
}

async function connectAndTake(threadId: number): Promise<Examination> {
	const session = new Session();
	session.connectToMainThread();
	try {
		const sessionId = await attach(session, threadId);
		return sessionId === undefined ? NO_ANSWER : await takeStackSnapshot(clientOf(session, sessionId));
	} finally {
		session.disconnect();
	}
}

/** Resolves with the id of the thread's session, which the main thread's session relays. */
function attach(session: Session, threadId: number): Promise<string | undefined> {
	const attached = new Promise<string>((resolve, reject) => {
		session.on('NodeWorker.attachedToWorker', ({params: {sessionId, workerInfo}}) => {
			if (workerInfo.title.startsWith(`[worker ${threadId}]`)) resolve(sessionId);
		});
		session.post('NodeWorker.enable', {waitForDebuggerOnStart: false}, error => error && reject(error));
	});
	return within(ANSWER_MS, attached);
}

function clientOf(session: Session, sessionId: string): InspectorClient {
	const answers = new Map<number, (answer: unknown) => void>();
	const client: InspectorClient = {
		post: (method, params) =>
			new Promise(resolve => {
				const id = answers.size + 1;
				answers.set(id, resolve);
				session.post('NodeWorker.sendMessageToWorker', {sessionId, message: JSON.stringify({id, method, params})});
			}),
		onEvent: () => undefined,
		close: () => session.post('NodeWorker.disable'),
	};
	session.on('NodeWorker.receivedMessageFromWorker', ({params}) => {
		if (params.sessionId !== sessionId) return;
		const {id, result, method, params: detail} = JSON.parse(params.message) as {id?: number; result?: unknown; method?: string; params?: never};
		if (method) client.onEvent(method, detail as never);
		else if (id !== undefined) answers.get(id)?.(result);
	});
	return client;
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
		if (usage) heap = {usedBytes: (usage as {usedSize: number}).usedSize, limitBytes: heapLimitBytes};
	});
	const stack = await takeStackSnapshot(client);
	return {...stack, ...(heap && {heap})};
}

/** A connection to the inspector of one thread. */
export interface InspectorClient {
	/** Stays pending if the thread does not answer. */
	post(method: string, params?: object): Promise<unknown>;
	/** Takes the inspector's events. Set it before the first post. */
	onEvent: (method: string, params: never) => void;
	close(): void;
}

/** A thread that runs JavaScript pauses right after its answer. */
const PAUSE_MS = 250;
const MAX_FRAMES = 50;

/** Pauses a thread by Node's inspector, reads its stack, and lets it go on. */
export async function takeStackSnapshot(client: InspectorClient): Promise<Examination> {
	const urls = new Map<string, string>();
	const {promise: paused, resolve} = Promise.withResolvers<string>();
	client.onEvent = (method, params) => {
		const script = params as Debugger.ScriptParsedEventDataType;
		if (method === 'Debugger.scriptParsed') urls.set(script.scriptId, script.url);
		if (method === 'Debugger.paused') resolve(format((params as Debugger.PausedEventDataType).callFrames, urls));
	};
	void client.post('Debugger.enable');
	const answered = await within(ANSWER_MS, client.post('Debugger.pause'));
	const stack = answered === undefined ? undefined : await within(PAUSE_MS, paused);
	// Also cancels a pause that is still pending.
	void client.post('Debugger.disable');
	// A thread that answers and does not pause runs no JavaScript: its event loop waits.
	const isWaiting = answered !== undefined && stack === undefined;
	const open = isWaiting ? await within(PAUSE_MS, client.post('Runtime.evaluate', OPEN_RESOURCES)) : undefined;
	client.close();
	if (stack !== undefined) return {stack: withoutCallers(stack)};
	return isWaiting ? {noStack: waiting((open as Partial<Runtime.EvaluateReturnType> | undefined)?.result?.value)} : NO_ANSWER;
}

/** Resolves with nothing if the promise takes longer. */
export function within<Value>(ms: number, promise: Promise<Value>): Promise<Value | undefined> {
	const {promise: late, resolve} = Promise.withResolvers<undefined>();
	const timer = setTimeout(() => resolve(undefined), ms).unref();
	return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function format(frames: readonly Debugger.CallFrame[], urls: ReadonlyMap<string, string>): string {
	return frames
		.slice(0, MAX_FRAMES)
		.map(({functionName, location: {scriptId, lineNumber, columnNumber = 0}}) => {
			const place = `${urls.get(scriptId) ?? 'unknown'}:${lineNumber + 1}:${columnNumber + 1}`;
			return functionName ? `    at ${functionName} (${place})` : `    at ${place}`;
		})
		.join('\n');
}

const OPEN_RESOURCES = {expression: 'process.getActiveResourcesInfo()', returnByValue: true};

/** Resources that every worker has open for its pool. */
const OUR_OWN = new Set(['MessagePort', 'Worker', 'Pipe', 'PipeWrap']);

/** A task that awaits has no frame on the stack. All we can tell is what its worker's event loop waits for. */
function waiting(resources: unknown): string {
	const sentence = 'It was waiting, with nothing of it on the stack.';
	if (!Array.isArray(resources)) return sentence;
	const open = [...new Set(resources.filter(name => !OUR_OWN.has(name)))];
	return `${sentence} Its worker had ${open.length > 0 ? `open: ${open.join(', ')}` : 'nothing open: no timer, file or socket'}.`;
}

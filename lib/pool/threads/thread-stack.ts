import {Session} from 'node:inspector';
import {setTimeout as sleep} from 'node:timers/promises';
import {ANSWER_MS, type InspectorClient, NO_ANSWER, type StackSnapshot, takeStackSnapshot} from '../stack-snapshot.ts';

/** The snapshot that is being taken. One at a time, since each inspector session receives the events of all threads. */
let current: Promise<unknown> = Promise.resolve();
/** The last snapshot in the queue. */
let last: Promise<unknown> = current;
/** Threads that are being ended. A thread in native code ends after that code returns; snapshots do not wait for that. */
const ending = new Set<Promise<unknown>>();

/**
 * Takes a snapshot of another worker thread of this process. The main thread's inspector relays it, so the main thread must
 * be free to answer.
 */
export function takeThreadSnapshot(threadId: number): Promise<StackSnapshot> {
	const snapshot = last.then(() => takeOnceFree(threadId)).catch(() => NO_ANSWER);
	last = snapshot;
	return snapshot;
}

async function takeOnceFree(threadId: number): Promise<StackSnapshot> {
	while (ending.size > 0) await Promise.all(ending);
	const snapshot = connectAndTake(threadId);
	current = snapshot.catch(() => undefined);
	return snapshot;
}

/**
 * Ends threads once the current snapshot is taken, and makes later snapshots wait. Node aborts the process if its inspector
 * attaches to a thread that is just ending.
 */
export async function endThreads(end: () => Promise<unknown>): Promise<void> {
	const ended = current.then(end);
	const gone = Promise.race([ended, sleep(ANSWER_MS, undefined, {ref: false})]).catch(() => undefined);
	ending.add(gone);
	void gone.then(() => ending.delete(gone));
	await ended;
}

async function connectAndTake(threadId: number): Promise<StackSnapshot> {
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
	return new Promise((resolve, reject) => {
		setTimeout(() => resolve(undefined), ANSWER_MS);
		session.on('NodeWorker.attachedToWorker', ({params: {sessionId, workerInfo}}) => {
			if (workerInfo.title.startsWith(`[worker ${threadId}]`)) resolve(sessionId);
		});
		session.post('NodeWorker.enable', {waitForDebuggerOnStart: false}, error => error && reject(error));
	});
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

import {Session} from 'node:inspector';
import {setTimeout as sleep} from 'node:timers/promises';
import {ANSWER_MS, NO_ANSWER, type Whereabouts, type Wire, whereabouts} from './stack-probe.ts';

/** One at a time, since each listens to all threads: the look that is under way, */
let looking: Promise<unknown> = Promise.resolve();
/** and the last of those that wait for it. */
let last: Promise<unknown> = looking;
/** Threads that are being ended. One in native code ends when it has returned: nobody waits for that. */
const ending = new Set<Promise<unknown>>();

/**
 * Where another worker thread of this process is; see {@link whereabouts}. The way to it leads through the main thread's
 * inspector, which knows all threads: so the main thread must be one that answers.
 */
export function whereaboutsOfThread(threadId: number): Promise<Whereabouts> {
	const where = last.then(() => lookAt(threadId)).catch(() => NO_ANSWER);
	last = where;
	return where;
}

async function lookAt(threadId: number): Promise<Whereabouts> {
	while (ending.size > 0) await Promise.all(ending);
	const where = probe(threadId);
	looking = where.catch(() => undefined);
	return where;
}

/**
 * Ends threads once the look that is under way is over, and has later ones wait: Node aborts the process if its inspector
 * comes to a thread that is just going.
 */
export async function endThreads(end: () => Promise<unknown>): Promise<void> {
	const ended = looking.then(end);
	const gone = Promise.race([ended, sleep(ANSWER_MS, undefined, {ref: false})]).catch(() => undefined);
	ending.add(gone);
	void gone.then(() => ending.delete(gone));
	await ended;
}

async function probe(threadId: number): Promise<Whereabouts> {
	const session = new Session();
	session.connectToMainThread();
	try {
		const sessionId = await attach(session, threadId);
		return sessionId === undefined ? NO_ANSWER : await whereabouts(wireTo(session, sessionId));
	} finally {
		session.disconnect();
	}
}

/** Resolves with the thread's name on the main thread's line. */
function attach(session: Session, threadId: number): Promise<string | undefined> {
	return new Promise((resolve, reject) => {
		setTimeout(() => resolve(undefined), ANSWER_MS);
		session.on('NodeWorker.attachedToWorker', ({params: {sessionId, workerInfo}}) => {
			if (workerInfo.title.startsWith(`[worker ${threadId}]`)) resolve(sessionId);
		});
		session.post('NodeWorker.enable', {waitForDebuggerOnStart: false}, error => error && reject(error));
	});
}

function wireTo(session: Session, sessionId: string): Wire {
	const answers = new Map<number, (answer: unknown) => void>();
	const wire: Wire = {
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
		if (method) wire.onEvent(method, detail as never);
		else if (id !== undefined) answers.get(id)?.(result);
	});
	return wire;
}

import {Session} from 'node:inspector';
import {stackBy, type Wire} from './stack-probe.ts';

/** One at a time: each listens to all threads. */
let last: Promise<unknown> = Promise.resolve();

/**
 * Where another worker thread of this process is; see {@link stackBy}. The way to it leads through the main thread's
 * inspector, which knows all threads: so the main thread must be one that answers.
 */
export function stackOfThread(threadId: number): Promise<string | undefined> {
	const stack = last.then(() => probe(threadId)).catch(() => undefined);
	last = stack;
	return stack;
}

async function probe(threadId: number): Promise<string | undefined> {
	const session = new Session();
	session.connectToMainThread();
	try {
		const sessionId = await attach(session, threadId);
		return sessionId === undefined ? undefined : await stackBy(wireTo(session, sessionId));
	} finally {
		session.disconnect();
	}
}

const ATTACH_MS = 500;

/** Resolves with the thread's name on the main thread's line. */
function attach(session: Session, threadId: number): Promise<string | undefined> {
	return new Promise((resolve, reject) => {
		setTimeout(() => resolve(undefined), ATTACH_MS);
		session.on('NodeWorker.attachedToWorker', ({params: {sessionId, workerInfo}}) => {
			if (workerInfo.title.startsWith(`[worker ${threadId}]`)) resolve(sessionId);
		});
		session.post('NodeWorker.enable', {waitForDebuggerOnStart: false}, error => error && reject(error));
	});
}

function wireTo(session: Session, sessionId: string): Wire {
	let messages = 0;
	const wire: Wire = {
		post: method => session.post('NodeWorker.sendMessageToWorker', {sessionId, message: JSON.stringify({id: ++messages, method})}),
		onEvent: () => undefined,
		close: () => session.post('NodeWorker.disable'),
	};
	session.on('NodeWorker.receivedMessageFromWorker', ({params}) => {
		if (params.sessionId !== sessionId) return;
		const {method, params: detail} = JSON.parse(params.message) as {method?: string; params?: never};
		if (method) wire.onEvent(method, detail as never);
	});
	return wire;
}

import {Session} from 'node:inspector';
import {stackBy, type Wire} from './stack-probe.ts';

/** Where the main thread of this process is, asked by another of its threads; see {@link stackBy}. */
export async function stackOfMainThread(): Promise<string | undefined> {
	const session = new Session();
	session.connectToMainThread();
	const wire: Wire = {post: method => session.post(method), onEvent: () => undefined, close: () => session.disconnect()};
	session.on('inspectorNotification', ({method, params}) => wire.onEvent(method, params as never));
	return stackBy(wire);
}

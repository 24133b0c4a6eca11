import {Session} from 'node:inspector';
import type {PostMortem} from '../../job/failure.ts';
import {type Whereabouts, type Wire, whereabouts} from '../threads/stack-probe.ts';

/** Where the main thread of this process is and what its heap holds, asked by another of its threads. */
export async function examineMainThread(heapLimitBytes: number): Promise<Whereabouts & Pick<PostMortem, 'heap'>> {
	const session = new Session();
	session.connectToMainThread();
	const wire: Wire = {
		post: (method, params) => new Promise(resolve => session.post(method, params, (_, answer) => resolve(answer))),
		onEvent: () => undefined,
		close: () => session.disconnect(),
	};
	session.on('inspectorNotification', ({method, params}) => wire.onEvent(method, params as never));
	let heap: PostMortem['heap'];
	void wire.post('Runtime.getHeapUsage').then(usage => {
		if (usage) heap = {usedBytes: (usage as HeapUsage).usedSize, limitBytes: heapLimitBytes};
	});
	const where = await whereabouts(wire);
	return {...where, ...(heap && {heap})};
}

interface HeapUsage {
	readonly usedSize: number;
}

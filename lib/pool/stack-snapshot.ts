import {withoutCallers} from '../job/failure.ts';

/** A connection to the inspector of one thread. */
export interface InspectorClient {
	/** Resolves with the answer. Stays pending if the thread does not answer. */
	post(method: string, params?: object): Promise<unknown>;
	/** Takes the inspector's events. Set it before the first post. */
	onEvent: (method: string, params: never) => void;
	close(): void;
}

/** Where a thread is: the lines of a stack, or the reason why there are none. */
export type StackSnapshot = {readonly stack: string} | {readonly noStack: string};

export const NO_ANSWER: StackSnapshot = {noStack: 'It did not answer: it was in native code, or blocked.'};

/** A thread that runs JavaScript or waits answers within tens of milliseconds, under heavy load within hundreds. A thread in native code does not answer. */
export const ANSWER_MS = 1500;
/** A thread that runs JavaScript pauses right after its answer. */
const PAUSE_MS = 250;
const MAX_FRAMES = 50;

/** Pauses a thread by Node's inspector, reads its stack, and lets it go on. */
export async function takeStackSnapshot(client: InspectorClient): Promise<StackSnapshot> {
	const urls = new Map<string, string>();
	const {promise: paused, resolve} = Promise.withResolvers<string>();
	client.onEvent = (method, params) => {
		if (method === 'Debugger.scriptParsed') urls.set((params as Script).scriptId, (params as Script).url);
		if (method === 'Debugger.paused') resolve(format((params as Paused).callFrames, urls));
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
	return isWaiting ? {noStack: waiting((open as Evaluated | undefined)?.result?.value)} : NO_ANSWER;
}

interface Script {
	readonly scriptId: string;
	readonly url: string;
}

interface Paused {
	readonly callFrames: readonly {
		readonly functionName: string;
		readonly location: {readonly scriptId: string; readonly lineNumber: number; readonly columnNumber?: number};
	}[];
}

interface Evaluated {
	readonly result?: {readonly value?: unknown};
}

async function within<Value>(ms: number, promise: Promise<Value>): Promise<Value | undefined> {
	const {promise: late, resolve} = Promise.withResolvers<undefined>();
	const timer = setTimeout(() => resolve(undefined), ms);
	const value = await Promise.race([promise, late]);
	clearTimeout(timer);
	return value;
}

function format(frames: Paused['callFrames'], urls: ReadonlyMap<string, string>): string {
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

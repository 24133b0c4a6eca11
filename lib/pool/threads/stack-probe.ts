import {withoutCallers} from '../../job/failure.ts';

/** What is said with the inspector of a thread. */
export interface Wire {
	/** Resolves with the answer, if there is one. */
	post(method: string, params?: object): Promise<unknown>;
	/** Set before anything is posted. */
	onEvent: (method: string, params: never) => void;
	close(): void;
}

/** Where a thread is: lines as of an error's stack, or why there are none. */
export type Whereabouts = {readonly stack: string} | {readonly noStack: string};

export const NO_ANSWER: Whereabouts = {noStack: 'It did not answer: it was in native code, or blocked.'};

/**
 * A thread that runs JavaScript or waits answers in some ten milliseconds, on a machine that has much more to do in some
 * hundreds; one in native code does not.
 */
export const ANSWER_MS = 1500;
/** The pause of a thread that runs JavaScript follows its answer at once. */
const PAUSE_MS = 250;
const MAX_FRAMES = 50;

/** Where a thread is, by Node's own inspector: pauses it, reads its stack, and lets it go on. */
export async function whereabouts(wire: Wire): Promise<Whereabouts> {
	const urls = new Map<string, string>();
	const {promise: paused, resolve} = Promise.withResolvers<string>();
	wire.onEvent = (method, params) => {
		if (method === 'Debugger.scriptParsed') urls.set((params as Script).scriptId, (params as Script).url);
		if (method === 'Debugger.paused') resolve(format((params as Paused).callFrames, urls));
	};
	void wire.post('Debugger.enable');
	const answered = await within(ANSWER_MS, wire.post('Debugger.pause'));
	const stack = answered === undefined ? undefined : await within(PAUSE_MS, paused);
	// Also cancels a pause that has not come about.
	void wire.post('Debugger.disable');
	// What takes the question and is not paused runs no JavaScript: its event loop waits.
	const isWaiting = answered !== undefined && stack === undefined;
	const open = isWaiting ? await within(PAUSE_MS, wire.post('Runtime.evaluate', OPEN_RESOURCES)) : undefined;
	wire.close();
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

/** What every worker has open for its pool. */
const OUR_OWN = new Set(['MessagePort', 'Worker', 'Pipe', 'PipeWrap']);

/** An `await` leaves nothing on the stack; what the worker's event loop waits for is all that is known. */
function waiting(resources: unknown): string {
	const sentence = 'It was waiting, with nothing of it on the stack.';
	if (!Array.isArray(resources)) return sentence;
	const open = [...new Set(resources.filter(name => !OUR_OWN.has(name)))];
	return `${sentence} Its worker had ${open.length > 0 ? `open: ${open.join(', ')}` : 'nothing open: no timer, file or socket'}.`;
}

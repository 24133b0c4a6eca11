/** What is said with the inspector of a thread. */
export interface Wire {
	post(method: string): void;
	/** Set before anything is posted. */
	onEvent: (method: string, params: never) => void;
	close(): void;
}

/** A thread that runs JavaScript answers in some ten milliseconds, whatever it computes; one in native code does not. */
const ANSWER_MS = 500;
const MAX_FRAMES = 50;

/**
 * Where a thread is, by Node's own inspector: pauses it, reads its stack, and lets it go on.
 * @returns lines as of an error's stack; `undefined` if it does not answer, because it is in native code or blocked
 */
export async function stackBy(wire: Wire): Promise<string | undefined> {
	const urls = new Map<string, string>();
	const {promise, resolve} = Promise.withResolvers<string | undefined>();
	wire.onEvent = (method, params) => {
		if (method === 'Debugger.scriptParsed') urls.set((params as Script).scriptId, (params as Script).url);
		if (method === 'Debugger.paused') resolve(format((params as Paused).callFrames, urls));
	};
	const timer = setTimeout(() => resolve(undefined), ANSWER_MS);
	wire.post('Debugger.enable');
	wire.post('Debugger.pause');
	const stack = await promise;
	clearTimeout(timer);
	// Also cancels a pause that has not come about.
	wire.post('Debugger.disable');
	wire.close();
	return stack;
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

function format(frames: Paused['callFrames'], urls: ReadonlyMap<string, string>): string {
	return frames
		.slice(0, MAX_FRAMES)
		.map(({functionName, location: {scriptId, lineNumber, columnNumber = 0}}) => {
			const place = `${urls.get(scriptId) ?? 'unknown'}:${lineNumber + 1}:${columnNumber + 1}`;
			return functionName ? `    at ${functionName} (${place})` : `    at ${place}`;
		})
		.join('\n');
}

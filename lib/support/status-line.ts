/** A line at the bottom of a terminal. */

const CLEAR_LINE = '\r\x1B[K';
const DRAW_EVERY_MS = 100;

/** True if the stream is a terminal that can draw over a line. */
export function canRedraw({isTTY = false}: {readonly isTTY?: boolean}): boolean {
	return isTTY && process.env['TERM'] !== 'dumb';
}

/**
 * Keeps a line at the bottom of the terminal of stderr. Other text that is written to that terminal meanwhile, such as results and the output of tasks,
 * goes above it. While another text has not ended its line, the line is not drawn: it would be drawn over that text.
 * @param draw the line for a terminal with this many columns
 * @returns a function that draws the line for the last time, and ends it
 */
export function showLine(draw: (width: number) => string): () => void {
	const {stderr, stdout} = process;
	const write = stderr.write.bind(stderr);
	const shared = [stdout, stderr].filter(stream => stream.isTTY).map(stream => ({stream, original: stream.write}));
	let isInLine = false;
	/** The line on the screen; `undefined` if it was cleared. */
	let shown: string | undefined;
	for (const {stream, original} of shared) {
		stream.write = ((...args: Parameters<typeof original>) => {
			if (shown !== undefined) write(CLEAR_LINE);
			shown = undefined;
			const chunk: string | Uint8Array = args[0];
			if (chunk.length > 0) isInLine = typeof chunk === 'string' ? !chunk.endsWith('\n') : chunk.at(-1) !== 0x0a;
			return original.apply(stream, args);
		}) as typeof original;
	}
	const redraw = () => {
		const line = draw(stderr.columns || 80);
		if (isInLine || line === shown) return;
		write(CLEAR_LINE + line);
		shown = line;
	};
	redraw();
	const timer = setInterval(redraw, DRAW_EVERY_MS).unref();
	return () => {
		clearInterval(timer);
		if (isInLine) write('\n');
		isInLine = false;
		redraw();
		write('\n');
		for (const {stream, original} of shared) stream.write = original;
	};
}

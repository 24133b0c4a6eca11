import {clock, count, formatRate} from './print.ts';

/** How far a run is. */
export interface MapStatus {
	/** Items that have ended. */
	readonly done: number;
	/** Those of them that this run executed. */
	readonly executed: number;
	/** Those of them that died. */
	readonly dead: number;
	/** Items of the input; `undefined` until it has ended. */
	readonly total: number | undefined;
	readonly isStopping: boolean;
}

const CLEAR_LINE = '\r\x1B[K';

/**
 * Shows on stderr how far a run is: a bar on a terminal, elsewhere a line every 2 s. Other text that is written to the terminal
 * meanwhile, such as results and the output of tasks, goes above the bar.
 * @returns a function that draws the last state and ends the bar
 */
export function showBar(status: () => MapStatus): () => void {
	const {stderr, stdout} = process;
	const start = performance.now();
	const write = stderr.write.bind(stderr);
	const draw = () => {
		const current = status();
		const text = describeStatus(current, (performance.now() - start) / 1000);
		write(stderr.isTTY ? `${CLEAR_LINE}${withBar(current, text, stderr.columns || 80)}` : `${text}\n`);
	};
	const shared = [stdout, stderr].filter(stream => stderr.isTTY && stream.isTTY).map(stream => ({stream, write: stream.write}));
	for (const {stream, write: original} of shared) {
		stream.write = ((...args: Parameters<typeof original>) => {
			write(CLEAR_LINE);
			return original.apply(stream, args);
		}) as typeof original;
	}
	draw();
	const timer = setInterval(draw, stderr.isTTY ? 100 : 2000);
	return () => {
		clearInterval(timer);
		draw();
		if (stderr.isTTY) write('\n');
		for (const {stream, write: original} of shared) stream.write = original;
	};
}

/** For instance `1,204 of 3,012  40%  112/s  ETA 0:16  2 dead`. Rate and ETA count only items that this run executes. */
export function describeStatus({done, executed, dead, total, isStopping}: MapStatus, seconds: number): string {
	const rate = executed / seconds;
	const parts = [
		total === undefined ? `${count(done)} done` : `${count(done)} of ${count(total)}`,
		// Rounded down, so that it is 100 only at the end.
		total !== undefined && `${total === 0 ? 100 : Math.floor((100 * done) / total)}%`,
		executed > 0 && formatRate(rate),
		executed > 0 && total !== undefined && done < total && `ETA ${clock((total - done) / rate)}`,
		dead > 0 && `${count(dead)} dead`,
		isStopping && 'stopping (Ctrl-C again: at once)',
	];
	return parts.filter(Boolean).join('  ');
}

const MAX_BAR_WIDTH = 40;
const MIN_BAR_WIDTH = 8;

/** The text after a bar, if there is room for one. The text is cut off at the width of the terminal. */
function withBar({done, total}: MapStatus, text: string, width: number): string {
	const room = Math.min(MAX_BAR_WIDTH, width - text.length - 3);
	if (total === undefined || room < MIN_BAR_WIDTH) return text.slice(0, width - 1);
	const full = total === 0 ? room : Math.floor((room * done) / total);
	return `${'█'.repeat(full)}${'░'.repeat(room - full)}  ${text}`;
}

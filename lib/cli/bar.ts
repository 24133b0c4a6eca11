import {Writable} from 'node:stream';
import {SingleBar} from 'cli-progress';

/** Where a run stands. */
export interface MapStatus {
	/** Items that have ended, of them executed by this run, and dead. */
	readonly done: number;
	readonly executed: number;
	readonly dead: number;
	/** `undefined` while the input has not ended. */
	readonly total: number | undefined;
	readonly isStopping: boolean;
}

/**
 * Shows on stderr how far a run is: a bar on a terminal, elsewhere a line every 2 s, and a last one. What others write to
 * the terminal meanwhile, results and the tasks' own output, goes above the bar.
 * @returns a function that draws the last state and ends it
 */
export function showBar(standing: () => MapStatus): () => void {
	const start = performance.now();
	const describe = () => describeStanding(standing(), (performance.now() - start) / 1000);
	const {isTTY} = process.stderr;
	const screen = new Screen();
	const bar = new SingleBar({
		stream: screen,
		format: () => (isTTY ? draw(standing(), describe(), screen.columns) : describe()),
		noTTYOutput: true,
		forceRedraw: true,
		// Nothing that a kill -9 would leave behind on the terminal.
		linewrap: true,
		gracefulExit: false,
		// Of two newlines at the end, one.
		clearOnComplete: !isTTY,
	});
	bar.start(1, 0);
	return () => {
		bar.stop();
		screen.release();
	};
}

/** `1,204 of 3,012  40%  112/s  ETA 0:16  2 dead`. Rate and ETA are of what this run executes. */
export function describeStanding({done, executed, dead, total, isStopping}: MapStatus, seconds: number): string {
	const rate = executed / seconds;
	const parts = [
		total === undefined ? `${count(done)} done` : `${count(done)} of ${count(total)}`,
		total !== undefined && `${percent(done, total)}%`,
		executed > 0 && showRate(rate),
		executed > 0 && total !== undefined && done < total && `ETA ${clock((total - done) / rate)}`,
		dead > 0 && `${count(dead)} dead`,
		isStopping && 'stopping (Ctrl-C again: at once)',
	];
	return parts.filter(Boolean).join('  ');
}

/** Not 100 before the end. */
function percent(done: number, total: number): number {
	return total === 0 ? 100 : Math.floor((100 * done) / total);
}

/** With a comma at each thousand. A damaged row may have something else than a number, which is shown as it is. */
export function count(value: number): string {
	return typeof value === 'number' ? value.toLocaleString('en-US') : String(value);
}

export function showRate(perSecond: number): string {
	if (perSecond < 0.5) return `${(perSecond * 60).toFixed(1)}/min`;
	return `${perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond))}/s`;
}

/** `0:07`, `12:30`, `1:02:30`. */
export function clock(seconds: number): string {
	const whole = Math.ceil(seconds);
	const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
	const two = (value: number) => String(value).padStart(2, '0');
	return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

const MAX_BAR = 40;
const MIN_BAR = 8;

/** The description, behind a bar if there is room for one. */
function draw({done, total}: MapStatus, description: string, width: number): string {
	const room = Math.min(MAX_BAR, width - description.length - 3);
	if (total === undefined || room < MIN_BAR) return description;
	const full = total === 0 ? room : Math.floor((room * done) / total);
	return `${'█'.repeat(full)}${'░'.repeat(room - full)}  ${description}`;
}

const SAVE_CURSOR = '\x1B7';
const RESTORE_CURSOR = '\x1B8';
const CLEAR_LINE = '\r\x1B[K';

/**
 * What cli-progress draws on: stderr, without the cursor's saved place, which is another one once lines have scrolled by.
 * While it lives it clears the bar's line before others write to the terminal.
 */
class Screen extends Writable {
	readonly isTTY = process.stderr.isTTY;
	readonly #write = process.stderr.write.bind(process.stderr);
	readonly #shared = [process.stdout, process.stderr]
		.filter(stream => process.stderr.isTTY && stream.isTTY)
		.map(stream => ({stream, write: stream.write.bind(stream)}));

	constructor() {
		super({decodeStrings: false});
		for (const {stream, write} of this.#shared) {
			stream.write = ((...args: Parameters<typeof write>) => {
				this.#write(CLEAR_LINE);
				return write(...args);
			}) as typeof write;
		}
	}

	get columns(): number {
		return process.stderr.columns ?? 80;
	}

	override _write(text: string, _encoding: string, done: () => void): void {
		if (text !== SAVE_CURSOR && text !== RESTORE_CURSOR) this.#write(text);
		done();
	}

	release(): void {
		for (const {stream, write} of this.#shared) stream.write = write;
	}
}

/** How far a run is, as a bar on a terminal. */

import {canRedraw, showLine} from './status-line.ts';

/** A number with a comma at each thousand. A damaged row may have another value, which is shown as it is. */
export function count(value: number): string {
	// To load the words and numbers of languages takes longer than a short command.
	return typeof value === 'number' && !(value < 1000) ? value.toLocaleString('en-US') : String(value);
}

export function formatRate(perSecond: number): string {
	if (perSecond < 0.5) return `${(perSecond * 60).toFixed(1)}/min`;
	return `${perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond))}/s`;
}

/** A time such as `0:07`, `12:30` or `1:02:30`. */
export function clock(seconds: number): string {
	const whole = Math.ceil(seconds);
	const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
	const two = (value: number) => String(value).padStart(2, '0');
	return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

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
	/** Why nothing of it is known so far. */
	readonly unknown?: string | undefined;
	/** The same as `done`, `executed` and `total` in bytes, if the largest items come first: then a number of items says little about the time. */
	readonly bytes?: {readonly done: number; readonly executed: number; readonly total: number} | undefined;
}

/**
 * Shows on stderr how far a run is: a bar on a terminal, elsewhere a line every 2 s.
 * @returns a function that draws the last state and ends the bar
 */
export function showBar(status: () => MapStatus): () => void {
	const {stderr} = process;
	const start = performance.now();
	const line = (width = Infinity) => {
		const current = status();
		const text = describeStatus(current, (performance.now() - start) / 1000);
		return width === Infinity ? text : withBar(current, text, width);
	};
	if (canRedraw(stderr)) return showLine(line);
	const write = () => stderr.write(`${line()}\n`);
	write();
	const timer = setInterval(write, 2000).unref();
	return () => {
		clearInterval(timer);
		write();
	};
}

/** For instance `1,204 of 3,012  40%  112/s  ETA 0:16  2 dead`. Rate and ETA count only items that this run executes. */
export function describeStatus({done, executed, dead, total, isStopping, unknown, bytes}: MapStatus, seconds: number): string {
	if (unknown !== undefined) return unknown;
	const rate = executed / seconds;
	const isByBytes = bytes !== undefined && bytes.total > 0;
	const work = isByBytes ? bytes : {done, executed, total};
	const parts = [
		total === undefined ? `${count(done)} done` : `${count(done)} of ${count(total)}`,
		// Rounded down, so that it is 100 only at the end.
		work.total !== undefined && `${work.total === 0 ? 100 : Math.floor((100 * work.done) / work.total)}%${isByBytes ? ' of the bytes' : ''}`,
		executed > 0 && formatRate(rate),
		work.executed > 0 && work.total !== undefined && work.done < work.total && `ETA ${clock((work.total - work.done) / (work.executed / seconds))}`,
		dead > 0 && `${count(dead)} dead`,
		isStopping && 'stopping (Ctrl-C again: at once)',
	];
	return parts.filter(Boolean).join('  ');
}

const MAX_BAR_WIDTH = 40;
const MIN_BAR_WIDTH = 8;

/** The text after a bar, if there is room for one. The text is cut off at the width of the terminal. */
function withBar({done: items, total: allItems, bytes}: MapStatus, text: string, width: number): string {
	const {done, total} = bytes && bytes.total > 0 ? bytes : {done: items, total: allItems};
	const room = Math.min(MAX_BAR_WIDTH, width - text.length - 3);
	if (total === undefined || room < MIN_BAR_WIDTH) return text.slice(0, width - 1);
	const full = total === 0 ? room : Math.floor((room * done) / total);
	return `${'█'.repeat(full)}${'░'.repeat(room - full)}  ${text}`;
}

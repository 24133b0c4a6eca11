import {setTimeout as sleep} from 'node:timers/promises';
import stringWidth from 'string-width';
import {bad, canRedraw} from '../../internal/words.ts';
import {colourStatuses} from './colours.ts';
import {escapeControls} from './controls.ts';
import {cut} from './table.ts';

const DRAW_EVERY_MS = 1000;

/** Draws a text with statuses of jobs in its place on the terminal, again and again, until a signal ends the process. */
export async function redraw(read: () => Promise<string>): Promise<never> {
	const {stdout} = process;
	if (!canRedraw(stdout)) throw bad('--watch draws over its own lines on a terminal, and stdout is none that can do that. Leave it out.');
	for (let before: readonly string[] = []; ; ) {
		const lines = (await read())
			.trimEnd()
			.split('\n')
			.slice(0, stdout.rows - 1)
			.map(line => cut(escapeControls(line), stdout.columns));
		stdout.write(`${erase(before)}${colourStatuses(lines.join('\n'))}\n`);
		before = lines;
		await sleep(DRAW_EVERY_MS);
	}
}

/** What erases these lines, also if the terminal has become narrower since they were drawn. */
function erase(lines: readonly string[]): string {
	const rows = lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(stringWidth(line) / process.stdout.columns)), 0);
	return rows === 0 ? '' : `\x1B[${rows}A\r\x1B[J`;
}

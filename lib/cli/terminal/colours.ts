import {styleText} from 'node:util';
import type {JobStatus} from '../../index.ts';

const COLOURS: Readonly<Partial<Record<JobStatus, Parameters<typeof styleText>[0]>>> = {
	running: 'cyan',
	failed: 'yellow',
	completed: 'green',
	dead: 'red',
	cancelled: 'gray',
};

const WORDS = Object.keys(COLOURS).join('|');
/** A status before a job's number, after a number of jobs, or at the end of the line `job 17  thumbnail  dead`. */
const STATUS = new RegExp(`^(${WORDS})(?= +#)|(?<=\\d )(${WORDS})\\b|(?<=^job \\d+ .* {2})(${WORDS})$`, 'gm');

/** Colours the statuses of jobs, if stdout is a terminal with colours and NO_COLOR is not set. The text has no controls. */
export function colourStatuses(text: string): string {
	return text.replace(STATUS, status => styleText(COLOURS[status as JobStatus] ?? 'reset', status, {stream: process.stdout}));
}

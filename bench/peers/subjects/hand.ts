import type {Case} from '../../plan/suite.ts';
import type {Sums} from '../../subjects/subject.ts';
import {Executions} from './executions.ts';

/** What a process that executes a peer's jobs is told: the case, and where the store is. */
export interface Assignment {
	readonly given: Case;
	readonly store: string;
}

export type FromHand = 'ready' | Sums;

/** This adds to a run at most once: while it is awaited that the last jobs are reported. */
const REPORT_MS = 1;

/**
 * The frame of such a process: gives `start` the function that executes a payload, and reports the sums of what was executed. It ends
 * with its parent.
 */
export async function lendHand(start: (assignment: Assignment, execute: (payload: unknown) => number) => Promise<void>): Promise<void> {
	process.once('disconnect', () => process.exit(0));
	// Ctrl-C in a terminal reaches all processes: the parent decides.
	process.on('SIGINT', () => {});
	const assignment = JSON.parse(process.argv[2] as string) as Assignment;
	const executions = new Executions(assignment.given.task);
	let isDue = false;
	const report = () => {
		isDue = false;
		tell(executions.sums());
	};
	await start(assignment, payload => {
		if (!isDue) {
			isDue = true;
			setTimeout(report, REPORT_MS);
		}
		return executions.execute(payload);
	});
	tell('ready');
}

function tell(message: FromHand): void {
	process.send?.(message);
}

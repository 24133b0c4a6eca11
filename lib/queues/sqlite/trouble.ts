import {type JobId, MAX_SUSPICIONS} from '../../job.ts';
import type {Session} from './session.ts';

/** What was charged to a job in this round, and how many hosts died while they had it. */
export interface Trouble {
	readonly attempts: number;
	readonly suspicions: number;
	readonly crashes: number;
}

const NONE: Trouble = {attempts: 0, suspicions: 0, crashes: 0};

export function troubleOf({statements}: Session, id: JobId): Trouble {
	const row = statements.trouble.get(id) as [number, number, number] | undefined;
	return row ? {attempts: row[0], suspicions: row[1], crashes: row[2]} : NONE;
}

/** True if the job is to run alone. */
export function isSuspect({suspicions}: Trouble): boolean {
	return suspicions >= MAX_SUSPICIONS;
}

import type {JobId} from '../../job/job.ts';
import type {Tx} from './tx.ts';

/** What was charged to a job in this round, and how suspect it is of having killed a process. */
export interface Trouble {
	readonly attempts: number;
	/** Its level; see `MAX_SUSPICION`. */
	readonly suspicions: number;
	readonly crashes: number;
}

const NONE: Trouble = {attempts: 0, suspicions: 0, crashes: 0};

export function troubleOf({statements}: Tx, id: JobId): Trouble {
	const row = statements.trouble.get(id) as [number, number, number] | undefined;
	return row ? {attempts: row[0], suspicions: row[1], crashes: row[2]} : NONE;
}

export function isSuspect({suspicions}: Trouble): boolean {
	return suspicions > 0;
}

import type {JobUpdate} from '../job/claim.ts';
import type {EndedGroup} from '../job/groups/group.ts';
import type {NumberedCall} from './clients.ts';

/** What a transaction writes, besides its claims. */
export interface Writes {
	readonly updates: readonly JobUpdate[];
	readonly settle: readonly EndedGroup[];
	readonly enqueues: readonly NumberedCall[];
}

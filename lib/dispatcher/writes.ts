import type {EndedGroup, RunningUpdate} from '../job/groups/group.ts';
import type {NumberedCall} from './clients.ts';

/** What a transaction writes, besides its claims. */
export interface Writes {
	readonly updates: readonly RunningUpdate[];
	readonly settle: readonly EndedGroup[];
	readonly enqueues: readonly NumberedCall[];
}

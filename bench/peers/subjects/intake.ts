import {IN_FLIGHT, type Intake} from '../../plan/suite.ts';
import {inLanes} from '../../subjects/lanes.ts';

/** Enqueues payloads one by one: each awaited, or 64 under way. */
export async function enqueueEach(payloads: readonly unknown[], intake: Intake, add: (payload: unknown) => Promise<unknown>): Promise<void> {
	if (intake !== 'strict' && intake !== 'default') throw new Error(`This peer has no intake ${intake}`);
	await inLanes(payloads, intake === 'strict' ? 1 : IN_FLIGHT, add);
}

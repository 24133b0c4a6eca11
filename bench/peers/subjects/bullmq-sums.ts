import type {Queue} from 'bullmq';
import type {Sums} from '../../subjects/subject.ts';

const PAGE = 10_000;

/**
 * Sums of the results that BullMQ keeps in Redis.
 * @param numberIn takes the number out of a result
 */
export async function sumsOf(queue: Queue, numberIn = (result: unknown) => result as number): Promise<Sums> {
	let results = 0;
	const completed = await queue.getCompletedCount();
	for (let start = 0; start < completed; start += PAGE) {
		for (const {returnvalue} of await queue.getCompleted(start, start + PAGE - 1)) results += numberIn(returnvalue);
	}
	return {completed, results};
}

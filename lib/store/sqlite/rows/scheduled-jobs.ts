import {type ClaimedGroup, idAt, sizeOf} from '../../../job/groups/group.ts';
import type {JobId} from '../../../job/job.ts';
import type {Tx} from './tx.ts';

/** A schedule has enqueued the job for this moment. */
export function setMoment({facts, statements}: Tx, id: JobId, moment: number): void {
	statements.insertScheduled.run(id, moment);
	facts.forget('hasScheduled');
}

/** The group, with the moments for which schedules have enqueued its jobs. */
export function withMoments(tx: Tx, group: ClaimedGroup): ClaimedGroup {
	if (!tx.facts.get('hasScheduled')) return group;
	const moments = new Map<number, number>();
	for (let index = 0; index < sizeOf(group); index++) {
		const at = tx.statements.momentOf.get(idAt(group.ids, index)) as number | undefined;
		if (at !== undefined) moments.set(index, at);
	}
	return moments.size > 0 ? {...group, scheduledAt: moments} : group;
}

/** The jobs are deleted. */
export function forgetMoments({facts, statements}: Tx, first: JobId, last = first): void {
	if (!facts.get('hasScheduled')) return;
	statements.deleteScheduled.run(first, last);
	facts.forget('hasScheduled');
}

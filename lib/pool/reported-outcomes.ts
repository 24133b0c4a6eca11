import type {EndedGroup} from '../job/groups/group.ts';

/** Outcomes that wait for so long are passed on although their chunk goes on: if the process is killed, they would be repeated. */
const MAX_UNCONFIRMED_MS = 100;

/** What a worker has reported of a chunk. It reports the jobs in order; a later message confirms what it reported, and only then it is passed on. */
export class ReportedOutcomes {
	/** The index up to which jobs are reported. */
	upTo = 0;
	/** The index up to which they are confirmed. */
	confirmedUpTo = 0;
	/** The outcomes of jobs that are reported and not confirmed. */
	unconfirmed: EndedGroup[] = [];
	/** When the first of them were reported, by the steady clock. */
	#since = 0;

	/** @param group absent if all of its jobs were taken back */
	add(group: EndedGroup | undefined, upTo: number, now: number): void {
		if (group && this.unconfirmed.push(group) === 1) this.#since = now;
		this.upTo = upTo;
	}

	areOverdue(now: number): boolean {
		return this.unconfirmed.length > 0 && now - this.#since > MAX_UNCONFIRMED_MS;
	}

	/** Confirms all that is reported, and returns it. */
	confirm(): readonly EndedGroup[] {
		const confirmed = this.unconfirmed;
		this.unconfirmed = [];
		this.confirmedUpTo = this.upTo;
		return confirmed;
	}
}

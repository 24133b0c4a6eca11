/** So many inputs of one kind, all of which follow from the seed. */
export interface Round {
	readonly seed: number;
	readonly runs: number;
	/** A folder of its own. */
	readonly folder: string;
}

export interface Result {
	/** Inputs by what became of them. */
	readonly counts: Readonly<Record<string, number>>;
	/** Sentences on those of which something else became than what should. */
	readonly broken: readonly string[];
}

/** Collects a {@link Result}. */
export class MaintenanceResult implements Result {
	readonly counts: Record<string, number> = {};
	readonly broken: string[] = [];

	count(end: string): void {
		this.counts[end] = (this.counts[end] ?? 0) + 1;
	}

	/** @param input by which it is found again */
	complain(input: string, complaint: string): void {
		// The first ones tell enough.
		if (this.broken.length < 100) this.broken.push(`${input}: ${complaint.slice(0, 1000)}`);
	}
}

/** Seeds of the inputs of a round, such that no two rounds share any. */
export function* seedsOf({seed, runs}: Round): Generator<number> {
	for (let run = 0; run < runs; run++) yield Math.imul(seed, 0x9e3779b1) + run;
}

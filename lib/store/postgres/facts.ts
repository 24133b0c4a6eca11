import type {Lease} from '../../job/claim.ts';
import type {JobId} from '../../job/job.ts';
import {type Charges, NO_CHARGES} from '../../job/next-state.ts';
import type {Policy} from '../../job/policy.ts';
import type {ClaimedRow} from './claimed-rows.ts';
import type {Facts} from './connection/calls.ts';
import type {Named} from './number-tables.ts';

/** Facts, and the policy that they name. */
export interface Basis {
	readonly facts: Facts;
	readonly policy: Policy;
}

export function listCharges({attempts, crashes, delays, suspicion}: Charges): readonly [attempts: number, crashes: number, delays: number, suspicion: number] {
	return [attempts, crashes, delays, suspicion];
}

export function chargesOf([attempts, crashes, delays, suspicion]: Facts): Charges {
	return {attempts, crashes, delays, suspicion};
}

/** More rows are forgotten, the oldest first. */
const MAX_ROWS = 10_000;

type Row = Pick<ClaimedRow, 'first' | 'last' | 'info'> & {readonly policyId: number; readonly policy: Policy};

/** The facts of the jobs that this store has claimed. It may forget them: the server refuses what was decided by others, and tells them. */
export class KnownFacts {
	readonly #rows = new Map<Lease, readonly Row[]>();
	#count = 0;

	claimed(lease: Lease, rows: readonly ClaimedRow[], named: Named): void {
		const own = rows.flatMap(({first, last, policy, info}) =>
			info?.parents ? [] : [{first, last, policyId: policy, policy: named.policy(policy), info: info?.failures ? {failures: info.failures} : null}],
		);
		if (own.length === 0) return;
		this.#rows.set(lease, own);
		this.#count += own.length;
		for (const [oldest, rows] of this.#rows) {
			if (this.#count <= MAX_ROWS) return;
			this.#rows.delete(oldest);
			this.#count -= rows.length;
		}
	}

	of(lease: Lease, id: JobId): Basis | undefined {
		const row = this.#rows.get(lease)?.find(({first, last}) => id >= first && id <= last);
		if (!row) return undefined;
		const [, ...charges] = row.info?.failures?.find(([failed]) => failed === id) ?? [id, ...listCharges(NO_CHARGES)];
		return {facts: [...charges, row.policyId, null], policy: row.policy};
	}
}

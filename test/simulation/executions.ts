import type {Outcome, Settlement} from '../../lib/job/claim.ts';
import type {StopReason} from '../../lib/job/job.ts';
import {isRefused} from './plans.ts';
import type {Actor, Scheduler} from './scheduler.ts';
import type {Result} from './workers.ts';

/** One execution, as its worker saw it. */
export interface Execution {
	readonly id: number;
	readonly execution: number;
	readonly actor: Actor;
	readonly worker: string;
	readonly startedAt: number;
	/** Its claim was taken back before it ended. */
	isTakenBack: boolean;
	/** `died` by its own doing, `killed` from outside. */
	end?: 'returned' | 'threw' | 'died' | 'killed' | StopReason;
	endedAt?: number;
	result?: Result;
}

type Starting = Omit<Execution, 'startedAt' | 'isTakenBack' | 'end' | 'endedAt' | 'result'>;

/** What really ran, by the hands of those that ran it. */
export class Executions {
	readonly #scheduler: Scheduler;
	readonly #executions = new Map<string, Execution>();
	readonly #open = new Set<Execution>();

	constructor(scheduler: Scheduler) {
		this.#scheduler = scheduler;
	}

	get count(): number {
		return this.#executions.size;
	}

	/**
	 * The law that this start breaks, if it does.
	 * @param isStale its claim was taken back while its process was silent, which it has not heard of yet
	 */
	contradictionOfStart({id, execution}: Starting, isStale: boolean): string | undefined {
		if (this.#executions.has(nameOf(id, execution))) return `an execution starts once: job ${nameOf(id, execution)}`;
		const other = [...this.#open].find(open => open.id === id && !open.isTakenBack);
		return other && !isStale ? `two executions of one job never overlap on one host: ${execution} and ${other.execution} of job ${id}` : undefined;
	}

	start(starting: Starting, isTakenBack: boolean): Execution {
		const {id, execution, actor, worker} = starting;
		const started: Execution = {...starting, startedAt: this.#scheduler.steadyMs, isTakenBack};
		this.#scheduler.trace(actor, `${worker} starts job ${nameOf(id, execution)}`);
		this.#executions.set(nameOf(id, execution), started);
		this.#open.add(started);
		return started;
	}

	end(execution: Execution, end: NonNullable<Execution['end']>, result?: Result): void {
		execution.end = end;
		execution.endedAt = this.#scheduler.steadyMs;
		if (result) execution.result = result;
		this.#open.delete(execution);
		this.#scheduler.trace(execution.actor, `${execution.worker} ended job ${nameOf(execution.id, execution.execution)}: ${end}`);
	}

	/** The process is gone, and with it all it ran. */
	died(actor: Actor): void {
		for (const execution of this.#open) if (execution.actor === actor) this.end(execution, 'killed');
	}

	takenBack(id: number, execution: number): void {
		const taken = this.#executions.get(nameOf(id, execution));
		if (taken) taken.isTakenBack = true;
	}

	/** The law that is broken by what the pool says of an execution, if it is not what its worker saw. */
	contradictionOfOutcome({id, execution: number, outcome}: Settlement, timeoutMs: number | null): string | undefined {
		const execution = this.#executions.get(nameOf(id, number));
		const says = `job ${nameOf(id, number)} ${outcome.type}, and it ${execution?.end ?? (execution ? 'still ran' : 'never started')}`;
		if (execution && !execution.end) return `an outcome comes when its execution is over: ${says}`;
		// That a worker died takes a moment to be heard, in which its job may time out.
		const seenMs = execution ? (execution.end === 'died' ? this.#scheduler.steadyMs : (execution.endedAt ?? 0)) - execution.startedAt : 0;
		return IS_TRUE[outcome.type](execution, outcome, seenMs >= (timeoutMs ?? Infinity)) ? undefined : `an execution is charged with what it did: ${says}`;
	}
}

/** When a pool's report is true. An execution that was not charged is always fair. */
const IS_TRUE: Readonly<Record<Outcome['type'], (execution: Execution | undefined, outcome: Outcome, isOverTime: boolean) => boolean>> = {
	returned: (execution, outcome) => outcome.type === 'returned' && execution?.result?.type === 'returned' && execution.result.value === outcome.value,
	// Or what it returned was refused by the store.
	threw: (execution, outcome) =>
		execution?.end === 'threw' || (execution?.end === 'returned' && isRefused(execution.id) && 'error' in outcome && outcome.error?.code === 'BadRow'),
	lostWorker: execution => execution?.end === 'died',
	timedOut: (_, __, isOverTime) => isOverTime,
	cancelled: () => true,
	released: () => true,
};

function nameOf(id: number, execution: number): string {
	return `${id}.${execution}`;
}

/** The options of a policy that are whole numbers: the least value, and the default. All code that checks, stores or reads policies uses this table. */
export const POLICY_NUMBERS = {
	maxAttempts: {least: 1, usual: 3},
	maxDelays: {least: 0, usual: 100},
} as const satisfies Record<string, {readonly least: number; readonly usual: number}>;

/** The name of an option that a policy keeps as a number. */
export type PolicyNumber = keyof typeof POLICY_NUMBERS;

export const POLICY_NUMBER_NAMES = Object.keys(POLICY_NUMBERS) as PolicyNumber[];

/** Something for each of these options. */
export function forPolicyNumbers<Each>(of: (name: PolicyNumber, limits: {readonly least: number; readonly usual: number}) => Each): Record<PolicyNumber, Each> {
	const all = {} as Record<PolicyNumber, Each>;
	for (const name of POLICY_NUMBER_NAMES) all[name] = of(name, POLICY_NUMBERS[name]);
	return all;
}

/** The options of which a policy is made. */
export const POLICY_OPTIONS: readonly PolicyOption[] = [...POLICY_NUMBER_NAMES, 'timeout', 'backoff', 'retry', 'onDead'];

/** The name of an option that a policy keeps. */
export type PolicyOption = PolicyNumber | 'timeout' | 'backoff' | 'retry' | 'onDead';

/** How often and how long a job may run, and how it is tried again. Resolved when the job is enqueued, and stored with it. */
export interface Policy {
	/** The job is dead after this many charged executions; at least 1. */
	readonly maxAttempts: number;
	/** How often in a round its task may put it off by a `RetryAfter`, uncharged; default 100. */
	readonly maxDelays?: number;
	/** Longest run of one execution in milliseconds, from its start; `null` for no limit. */
	readonly timeoutMs: number | null;
	/** Instead of `timeoutMs`: percent of the median run time of the task's completed executions in the dispatcher that runs the job. */
	readonly timeoutPercent?: number;
	/** How long a failed job waits before its next attempt. */
	readonly backoff: Backoff;
	/** `auto` tries again after the backoff; `manual` parks a failed job until `retry()`. */
	readonly retry: 'auto' | 'manual';
	/** The task of which the transaction that makes the job dead enqueues a job, with a `DeadJob` as its payload. */
	readonly onDead?: string;
	/** Options that were not given, of a job whose task its program did not know. The engine that runs it fills in the task's own. */
	readonly unset?: readonly PolicyOption[];
}

/** Exponential backoff: after attempt n the job waits `min(maxMs, baseMs × factorⁿ⁻¹)`, of which the share `jitter` is random. */
export interface Backoff {
	/** The wait after the first failed attempt. */
	readonly baseMs: number;
	/** By this each wait is longer than the last one. */
	readonly factor: number;
	/** The longest wait. */
	readonly maxMs: number;
	/** From 0, always the full wait, to 1, anything from no wait to the full one. */
	readonly jitter: number;
}

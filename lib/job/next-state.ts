import type {Ending} from './claim.ts';
import {type FailureRecord, poison} from './failure.ts';
import {MAX_CRASHES} from './job.ts';
import {DEFAULTS} from './options.ts';
import type {Backoff, Policy} from './policy.ts';

/** What is charged to a job in its round. */
export interface Charges {
	/** Executions that were charged. */
	readonly attempts: number;
	/** Those that have ended their worker. */
	readonly crashes: number;
	/** Executions that asked for a later one, uncharged. */
	readonly delays: number;
	/** How strongly it is suspected of having killed a process: see `MAX_SUSPICION`. */
	readonly suspicion: number;
}

export const NO_CHARGES: Charges = {attempts: 0, crashes: 0, delays: 0, suspicion: 0};

/** What a running job was asked since it was claimed: to be cancelled; if its execution does not end it, to be deleted, or held. */
export type StopRequest = 'cancel' | 'discard' | 'hold';

/** What a job becomes whose execution has not returned. */
export interface NextState {
	/** `failed`: it is tried again later; `parked`: when somebody retries it. `discarded`: it is deleted. */
	readonly to: 'ready' | 'held' | 'failed' | 'parked' | 'dead' | 'cancelled' | 'discarded';
	/** Of `failed`: the time until the next attempt. */
	readonly waitMs?: number;
	/** What is charged to it from then on; absent if that stays as it is. */
	readonly charges?: Charges;
	/** Its last failure; absent if that stays as it is. */
	readonly failure?: FailureRecord;
}

/** How an execution ended that has not returned. */
export type Unreturned = Exclude<Ending, {readonly type: 'returned'}>;

/**
 * What becomes of a job whose execution has not returned. Both stores write what this decides, and decide nothing themselves.
 * @param charges those of its round, before this execution
 * @param stop what it was asked, if it was
 * @param random returns a number in [0, 1), for the jitter of the backoff
 */
export function nextState(ending: Unreturned, charges: Charges, stop: StopRequest | undefined, policy: Policy, random: () => number): NextState {
	const next = decide(ending, charges, stop === 'hold' ? undefined : stop, policy, random);
	const runsAgain = next.to === 'ready' || next.to === 'failed' || next.to === 'parked';
	if (stop !== 'hold' || !runsAgain) return next;
	const {waitMs: _, ...others} = next;
	return {...others, to: 'held'};
}

function decide(ending: Unreturned, before: Charges, stop: 'cancel' | 'discard' | undefined, policy: Policy, random: () => number): NextState {
	const stopped = stop === 'discard' ? 'discarded' : 'cancelled';
	if (ending.type === 'cancelled') return {to: stopped, ...(ending.error && {failure: ending.error})};
	if (ending.type === 'released') {
		if (stop) return {to: stopped};
		const suspicion = Math.max(before.suspicion, ending.suspicion ?? 0);
		return {to: 'ready', ...(suspicion > before.suspicion && {charges: {...before, suspicion}})};
	}
	const {error} = ending;
	const charges = charge(before, ending, policy.maxDelays);
	const isPoison = charges.crashes >= MAX_CRASHES;
	const known = {charges, failure: isPoison ? poison(charges.crashes, error) : error};
	if (stop === 'cancel') return {to: 'cancelled', ...known};
	if (charges.attempts >= policy.maxAttempts || isPoison || error.retry === 'never') return {to: 'dead', ...known};
	if (stop) return {to: stopped};
	if (policy.retry === 'manual') return {to: 'parked', ...known};
	return {to: 'failed', waitMs: Math.round(error.retry?.afterMs ?? backoffMs(policy.backoff, charges.attempts, random())), ...known};
}

/** An execution that asks for a later one costs no attempt, as often as it may. */
function charge(
	{attempts, crashes, suspicion, delays}: Charges,
	{type, error: {retry, reason}}: Unreturned & {readonly error: FailureRecord},
	maxDelays: number = DEFAULTS.job.maxDelays,
): Charges {
	const isCrash = type === 'lostWorker';
	const isDelay = type === 'threw' && typeof retry === 'object' && delays < maxDelays;
	// A job that failed without a loss of its worker is no longer a suspect.
	const counted = {crashes: crashes + (isCrash ? 1 : 0), suspicion: isCrash ? suspicion : 0};
	// The task has not started.
	if (reason === 'badPayload') return {...counted, attempts, delays};
	return isDelay ? {...counted, attempts, delays: delays + 1} : {...counted, attempts: attempts + 1, delays};
}

/** Milliseconds to wait after a charged attempt, 1 for the first. `random` is in [0, 1): with jitter, jobs that failed together are not due together. */
export function backoffMs({baseMs, factor, maxMs, jitter}: Backoff, attempt: number, random: number): number {
	const full = baseMs === 0 ? 0 : Math.min(maxMs, baseMs * factor ** (attempt - 1));
	return Math.round(full * (1 - jitter * random));
}

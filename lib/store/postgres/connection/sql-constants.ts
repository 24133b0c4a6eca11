import {MARK_EVERY_MS} from '../../../job/batch.ts';
import {MAX_DURATION_MS} from '../../../job/checks.ts';
import {MAX_EXECUTIONS, MAX_LOG_LINES} from '../../../job/claim.ts';
import {expiry, type FailureRecord, parentFailure} from '../../../job/failure.ts';
import {MAX_GROUP_JOBS} from '../../../job/groups/group.ts';
import {MAX_SUSPICION, mostTogether} from '../../../job/job.ts';
import {NO_CHARGES, nextState, type StopRequest} from '../../../job/next-state.ts';
import {DEFAULT_POLICY, DEFAULTS, MAX_FACTOR, MAX_NUMBER} from '../../../job/options.ts';
import {POLICY_NUMBER_NAMES, POLICY_NUMBERS} from '../../../job/policy.ts';
import {keyTaken} from '../../conflict-errors.ts';
import {MIN_COUNTED_RESULT_BYTES} from '../../store.ts';
import {writeFailure} from '../../stored-json.ts';
import {Stop, StoredState} from '../../stored-state.ts';
import {inScope} from '../../task-number.ts';
import {SLOW_LOOK_MS} from './claimed-from.ts';
import * as errorCodes from './error-codes.ts';

/** Stands for an id in texts that are made before it is known. */
export const ID_PLACEHOLDER = Number.MAX_SAFE_INTEGER;

const {backoff, unset = []} = DEFAULT_POLICY;
const {ready, quarantined, delayed, failed, parked, running, completed, dead, cancelled, blocked, held} = StoredState;

/** What a job becomes that is released, and was asked to stop. */
const releasedIf = (stop: StopRequest) => nextState({type: 'released'}, NO_CHARGES, stop, DEFAULT_POLICY, () => 0).to;

/** A failure whose message has `%s` for what it is about. */
const template = (failure: FailureRecord) => `'${writeFailure(failure).replaceAll("'", "''")}'`;

/** What stands in the .sql files for `@NAME@`: all that they share with TypeScript, and limits that only they have. */
export const SQL_CONSTANTS: Readonly<Record<string, string | number>> = {
	...{READY: ready, QUARANTINED: quarantined, DELAYED: delayed, FAILED: failed, PARKED: parked, RUNNING: running},
	...{COMPLETED: completed, DEAD: dead, CANCELLED: cancelled, BLOCKED: blocked, HELD: held},
	...{STOP_DISCARD: Stop.discard, STOP_DISCARD_NOW: Stop.discardNow, STOP_HOLD: Stop.hold},
	...errorCodes,
	...{SCOPE_STRIDE: inScope(0, 1), ID_PLACEHOLDER, MAX_ID: Number.MAX_SAFE_INTEGER},
	...{MAX_GROUP_JOBS, MAX_EXECUTIONS, MAX_LOG_LINES, MAX_SUSPICION, MAX_DURATION_MS, MARK_EVERY_MS, MIN_COUNTED_RESULT_BYTES, SLOW_LOOK_MS},
	PRIORITY: DEFAULTS.job.priority,
	/** As fields of a JSON, as texts, and as rows of place, name and least value. */
	POLICY_DEFAULTS: POLICY_NUMBER_NAMES.map(name => `"${name}": ${POLICY_NUMBERS[name].usual}`).join(', '),
	POLICY_NAMES: POLICY_NUMBER_NAMES.map(name => `'${name}'`).join(', '),
	POLICY_NUMBERS: POLICY_NUMBER_NAMES.map((name, place) => `(${place}, '${name}', ${POLICY_NUMBERS[name].least})`).join(', '),
	...{MAX_NUMBER, MAX_FACTOR},
	/** By the level of suspicion. */
	MOST_TOGETHER: `array[${Array.from({length: MAX_SUSPICION}, (_, index) => mostTogether(index + 1)).join()}]`,
	...{BACKOFF_BASE_MS: backoff.baseMs, BACKOFF_FACTOR: backoff.factor, BACKOFF_MAX_MS: backoff.maxMs, BACKOFF_JITTER: backoff.jitter},
	UNSET_OPTIONS: unset.map(name => `'${name}'`).join(', '),
	...{RELEASED_IF_CANCELLED: releasedIf('cancel'), RELEASED_IF_DISCARDED: releasedIf('discard')},
	...{EXPIRED: template(expiry('%s')), KEY_TAKEN: template(keyTaken('%s', '%s'))},
	...{PARENT_DEAD: template(parentFailure('%s', 'dead')), PARENT_CANCELLED: template(parentFailure('%s', 'cancelled'))},
	PARENT_DELETED: template(parentFailure('%s', 'deleted')),
	/** The end of the year 9999, in milliseconds since 1970. */
	LAST_MS: 253_402_300_799_999,
	/** The most bytes of a task's name, and of a key. */
	MAX_KEY_BYTES: 1000,
	/** A call takes over at most so many jobs that have arrived, besides those that it names. */
	MAX_TAKEN_OVER: 5000,
	/** A transaction that has changed this many rows of children leaves the rest to later ones. */
	MAX_CHANGED_ROWS: 5000,
	/** This many changes of counts are added up even if they complete no batch, because each read of the counts also reads the changes. */
	MAX_CHANGES: 200,
	/** With so many, calls wait until they are added up, which does not happen by itself while calls overlap all the time. */
	TOO_MANY_CHANGES: 2000,
	/** A claim makes at most so many rows of waiting jobs ready. */
	MAX_PROMOTED: 5000,
	/** A page of jobs by the time of their creation looks at most at so many. */
	MAX_CHECKED: 5000,
	/** So many rows of a lane count for the backlog. */
	MAX_COUNTED_ROWS: 1000,
	/** A transaction cancels at most so many jobs that have expired. */
	MAX_EXPIRED: 1000,
	/** A transaction makes at most so many jobs of an owner ready again. The last row may exceed it. */
	MAX_RELEASED: 5000,
	/** Payloads of more bytes are not claimed the short way, which copies them once more. */
	MAX_SHORT_BYTES: 65_536,
	/** Less than any rank. */
	FIRST_RANK: -(2 ** 31 - 1),
	/** A page with values ends with the job whose values bring the total to this size. */
	MAX_PAGE_BYTES: 64 * 1024 * 1024,
	/** A store that has made no change for a day is taken for ended. */
	OLD_MS: 24 * 3_600_000,
};

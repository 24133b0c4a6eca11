import {isDeepStrictEqual} from 'node:util';
import test from 'ava';
import type {Arbitrary} from 'fast-check';
import type {FailureRecord} from '../../lib/job/failure.ts';
import {MAX_CRASHES, MAX_SUSPICION, TRANSITIONS} from '../../lib/job/job.ts';
import {backoffMs, type Charges, type NextState, NO_CHARGES, nextState, type StopRequest, type Unreturned} from '../../lib/job/next-state.ts';
import {DEFAULT_POLICY} from '../../lib/job/options.ts';
import type {Policy} from '../../lib/job/policy.ts';
import {LEFT_AS} from '../../lib/store/stored-state.ts';
import fc from '../fixtures/property.ts';

const ERROR: FailureRecord = {reason: 'threw', name: 'Error', message: 'oh'};
const threw = (retry?: FailureRecord['retry']): Unreturned => ({type: 'threw', error: {...ERROR, ...(retry && {retry})}});
const after = (
	ending: Unreturned,
	{charges = {}, stop, policy = {}}: {charges?: Partial<Charges>; stop?: StopRequest; policy?: Partial<Policy>} = {},
): NextState => nextState(ending, {...NO_CHARGES, ...charges}, stop, {...DEFAULT_POLICY, ...policy}, () => 0);

const level = fc.nat({max: 12});
const charges = fc.record({attempts: level, crashes: fc.nat({max: MAX_CRASHES - 1}), delays: level, suspicion: fc.nat({max: MAX_SUSPICION})});
const retry = fc.constantFrom<FailureRecord['retry']>(undefined, 'never', {afterMs: 0}, {afterMs: 1234.5});
const ending: Arbitrary<Unreturned> = fc.oneof(
	fc.record({
		type: fc.constantFrom('threw' as const, 'timedOut' as const, 'lostWorker' as const),
		error: retry.map(own => ({...ERROR, ...(own && {retry: own})})),
	}),
	fc.constantFrom<Unreturned>({type: 'cancelled'}, {type: 'cancelled', error: ERROR}, {type: 'released'}, {type: 'released', suspicion: 3}),
);
const stop = fc.constantFrom<StopRequest | undefined>(undefined, 'cancel', 'discard', 'hold');
const policy = fc.record({
	maxAttempts: fc.integer({min: 1, max: 12}),
	maxDelays: fc.nat({max: 12}),
	retry: fc.constantFrom('auto' as const, 'manual' as const),
});

/** What was asked comes true, unless the job has ended by itself. */
function isAnswered(asked: StopRequest | undefined, to: NextState['to']): boolean {
	const wanted: Readonly<Record<StopRequest, readonly NextState['to'][]>> = {
		cancel: ['cancelled'],
		discard: ['discarded', 'dead'],
		hold: ['held', 'dead', 'cancelled'],
	};
	return asked === undefined || wanted[asked].includes(to);
}

test('a running job becomes what TRANSITIONS allows, or is deleted if that was asked', t => {
	fc.assert(
		fc.property(ending, charges, stop, policy, fc.double({min: 0, max: 0.999, noNaN: true}), (end, before, asked, own, random) => {
			const {to, waitMs, charges: then = before, failure} = nextState(end, before, asked, {...DEFAULT_POLICY, ...own}, () => random);
			const left = LEFT_AS[to];
			if (left === 'discarded') return asked === 'discard';
			if (left === 'lost' || !(left in TRANSITIONS.running)) return false;
			const isCharged = end.type !== 'released' && end.type !== 'cancelled';
			const charged = [then.attempts - before.attempts + then.delays - before.delays, then.crashes - before.crashes];
			return (
				isDeepStrictEqual(charged, [isCharged ? 1 : 0, end.type === 'lostWorker' ? 1 : 0]) &&
				then.attempts >= before.attempts &&
				(to === 'failed' ? Number.isInteger(waitMs) && (waitMs as number) >= 0 : waitMs === undefined) &&
				isAnswered(asked, to) &&
				(failure !== undefined || !isCharged)
			);
		}),
	);
	t.pass();
});

test('each failure is charged until no attempt is left', t => {
	t.deepEqual(after(threw()), {to: 'failed', waitMs: DEFAULT_POLICY.backoff.baseMs, charges: {...NO_CHARGES, attempts: 1}, failure: ERROR});
	t.like(after(threw(), {charges: {attempts: 1}}), {to: 'failed', waitMs: backoffMs(DEFAULT_POLICY.backoff, 2, 0)});
	t.like(after(threw(), {charges: {attempts: DEFAULT_POLICY.maxAttempts - 1}}), {to: 'dead'});
	t.like(after(threw(), {policy: {retry: 'manual'}}), {to: 'parked', waitMs: undefined});
	t.like(after(threw('never')), {to: 'dead'});
});

test('one that asks for a later attempt is charged once it has asked too often', t => {
	const later = threw({afterMs: 1234.5});
	t.like(after(later, {policy: {maxDelays: 2}, charges: {delays: 1}}), {to: 'failed', waitMs: 1235, charges: {attempts: 0, delays: 2}});
	t.like(after(later, {policy: {maxDelays: 2}, charges: {delays: 2}}), {to: 'failed', waitMs: 1235, charges: {attempts: 1, delays: 2}});
});

test('a loss of the worker keeps the suspicion, and the third is poison; any other failure ends the suspicion', t => {
	const lost: Unreturned = {type: 'lostWorker', error: {...ERROR, reason: 'lostWorker'}};
	t.like(after(lost, {charges: {suspicion: 4}}), {to: 'failed', charges: {crashes: 1, suspicion: 4}});
	const poisoned = after(lost, {charges: {crashes: MAX_CRASHES - 1}, policy: {maxAttempts: 100}});
	t.like(poisoned, {to: 'dead', failure: {reason: 'poison', name: 'Poison'}});
	t.like(after(threw(), {charges: {suspicion: 4, crashes: 1}}), {charges: {crashes: 1, suspicion: 0}});
});

test('what a running job was asked', t => {
	t.deepEqual(after({type: 'released'}), {to: 'ready'});
	t.deepEqual(after({type: 'released', suspicion: 3}, {charges: {suspicion: 1}}), {to: 'ready', charges: {...NO_CHARGES, suspicion: 3}});
	t.deepEqual(after({type: 'released', suspicion: 3}, {charges: {suspicion: 5}}), {to: 'ready'});
	t.deepEqual(after({type: 'released'}, {stop: 'hold'}), {to: 'held'});
	t.deepEqual(after({type: 'released'}, {stop: 'cancel'}), {to: 'cancelled'});
	t.deepEqual(after({type: 'released'}, {stop: 'discard'}), {to: 'discarded'});
	t.deepEqual(after({type: 'cancelled', error: ERROR}), {to: 'cancelled', failure: ERROR});
	t.like(after(threw(), {stop: 'hold'}), {to: 'held', waitMs: undefined, charges: {attempts: 1}});
	t.like(after(threw(), {stop: 'cancel', charges: {attempts: 9}}), {to: 'cancelled', charges: {attempts: 10}});
	t.like(after(threw(), {stop: 'discard', charges: {attempts: 9}}), {to: 'dead'});
	t.deepEqual(after(threw(), {stop: 'discard'}), {to: 'discarded'});
});

import assert from 'node:assert/strict';
import test from 'ava';
import {type FailureRecord, fromFailure, toFailure} from '../../lib/job/failure.ts';
import {PermanentError} from '../../lib/job/task/task-errors.ts';
import {readFailure, writeFailure} from '../../lib/store/stored-json.ts';
import fc from '../fixtures/property.ts';

test('an error becomes a record of its name, message, stack, code and causes, outermost first', t => {
	const inner = Object.assign(new RangeError('inner'), {code: 34});
	const outer = Object.assign(new TypeError('outer', {cause: new Error('middle', {cause: inner})}), {code: 'E_OUTER'});
	const record = toFailure(outer, 'timedOut');
	t.like(record, {reason: 'timedOut', name: 'TypeError', message: 'outer', stack: outer.stack, code: 'E_OUTER'});
	t.deepEqual(
		record.causes?.map(({name, message, code}) => [name, message, code]),
		[
			['Error', 'middle', undefined],
			['RangeError', 'inner', 34],
		],
	);
});

test('the default reason of a failure is that the task threw', t => {
	t.is(toFailure(new Error('a')).reason, 'threw');
});

const THROWN: readonly [title: string, thrown: unknown, message: string | RegExp][] = [
	['undefined', undefined, 'undefined'],
	['null', null, 'null'],
	['a text', 'out of paper', 'out of paper'],
	['the empty text', '', ''],
	['a number', -0, '0'],
	['a symbol', Symbol('a'), 'Symbol(a)'],
	['a function', () => 1, /\[object Function\]/],
	['an object without a message', {status: 404}, /\[object Object\]/],
	['an object without a prototype', Object.create(null), /\[object Object\]/],
	['an object whose message is no text', {message: 5}, /without a readable message/],
	['an object all of whose getters throw', hostile(), /without a readable message/],
	['a revoked proxy', revoked(), /without a readable message/],
	['an object with an endless tag', {[Symbol.toStringTag]: 'x'.repeat(1e6)}, /more characters\)$/],
];

for (const [title, thrown, message] of THROWN) {
	test(`anything can be thrown: ${title}`, t => {
		const record = toFailure(thrown);
		t.is(record.name, 'Thrown');
		if (typeof message === 'string') t.is(record.message, message);
		else t.regex(record.message, message);
	});
}

test('any thrown value becomes a record that a store keeps as it is', t => {
	const field = fc.anything({withBigInt: true, withNullPrototype: true, maxDepth: 2}).filter(value => !Object.is(value, -0));
	const shape = fc.record({message: field, name: field, stack: field, code: field, cause: field}, {requiredKeys: []});
	const trap = fc.constantFrom(undefined, 'get', 'has', 'getPrototypeOf', 'ownKeys');
	fc.assert(
		fc.property(fc.oneof(fc.anything({withBigInt: true, withBoxedValues: true}), shape), trap, (value, trap) => {
			const record = toFailure(trap && typeof value === 'object' && value !== null ? new Proxy(value, {[trap]: fail}) : value);
			assert.deepStrictEqual(readFailure(writeFailure(record)), record);
			assert.equal(typeof record.name, 'string');
			assert.equal(typeof record.message, 'string');
		}),
		{numRuns: 1000},
	);
	t.pass();
});

test('a decision of an error counts only if it is a valid one', t => {
	const decide = (decision: unknown) => toFailure(Object.assign(new Error('a'), {[Symbol.for('faena.retry')]: decision})).retry;
	t.is(decide('never'), 'never');
	t.deepEqual(decide({afterMs: 0}), {afterMs: 0});
	for (const wrong of ['ever', null, 5, {afterMs: -1}, {afterMs: 0.5}, {afterMs: 1e15}, {afterMs: '1'}, hostile()]) t.is(decide(wrong), undefined);
	t.false('retry' in toFailure(new Error('outer', {cause: new PermanentError('inner')})));
});

test('a cyclic chain of causes ends before its first repetition', t => {
	const one = new Error('one');
	const two = new Error('two', {cause: one});
	one.cause = two;
	t.deepEqual(
		toFailure(one).causes?.map(({message}) => message),
		['two'],
	);
	const alone = new Error('alone');
	alone.cause = alone;
	t.false('causes' in toFailure(alone));
});

test('a chain of causes is cut after the eighth', t => {
	const chain = Array.from({length: 20}, (_, index) => 19 - index).reduce<Error | undefined>((cause, depth) => new Error(String(depth), {cause}), undefined);
	t.deepEqual(
		toFailure(chain).causes?.map(({message}) => message),
		['1', '2', '3', '4', '5', '6', '7', '8'],
	);
});

test('a cause can be anything', t => {
	t.like(toFailure(new Error('a', {cause: 'b'})).causes?.[0] ?? {}, {name: 'Thrown', message: 'b'});
	t.false('causes' in toFailure(new Error('a', {cause: null})));
});

test('long texts are cut off, with the number of characters that are missing', t => {
	const endless = 'x'.repeat(1e6);
	const error = Object.assign(new Error(endless), {name: endless, code: endless, stack: endless});
	const record = toFailure(error);
	for (const text of [record.name, record.message, record.stack, record.code]) t.is(String(text), `${'x'.repeat(16_384)}… (983616 more characters)`);
	t.is(toFailure(endless).message, record.message);
});

test('a record becomes an Error with its name, message, stack, code, reason and causes', t => {
	const record: FailureRecord = {
		reason: 'lostWorker',
		name: 'TypeError',
		message: 'outer',
		stack: 'TypeError: outer\n    at hash (tasks.ts:1:1)',
		code: 'E_OUTER',
		exitCode: 139,
		causes: [
			{name: 'Error', message: 'middle', code: 7},
			{name: 'Thrown', message: 'inner'},
		],
	};
	const error = fromFailure(record);
	t.true(error instanceof Error);
	t.is(Object.getPrototypeOf(error), Error.prototype);
	t.like(error, {name: 'TypeError', message: 'outer', stack: record.stack, code: 'E_OUTER', reason: 'lostWorker', exitCode: 139});
	t.like(error.cause, {name: 'Error', message: 'middle', code: 7, stack: 'Error: middle', cause: {name: 'Thrown', message: 'inner'}});
	t.false('cause' in ((error.cause as Error).cause as Error));
});

test('a record becomes an instance of its built-in class, and of no other', t => {
	const [range, dom] = (['RangeError', 'DOMException'] as const).map(builtIn =>
		fromFailure({reason: 'threw', name: 'Far', message: 'out of reach', code: 7, builtIn}),
	);
	t.true(range instanceof RangeError);
	t.true(dom instanceof DOMException);
	for (const error of [range, dom]) t.like(error, {name: 'Far', message: 'out of reach', code: 7, stack: 'Far: out of reach'});
});

test('of an error that carries very much only as much is read as can be stored', t => {
	let reads = 0;
	const get = (target: object, name: string | symbol) => {
		reads++;
		return Reflect.get(target, name) as unknown;
	};
	const documents = new Proxy(
		Array.from({length: 3_000_000}, () => 'document'),
		{get},
	);
	const error = Object.assign(new Error('bulk'), {documents, nested: {map: new Map([['all', documents]])}, errors: [{path: 'a'}], small: [1]});
	const {fields} = toFailure(error, 'threw');
	t.true(reads > 0 && reads < 100_000);
	t.deepEqual(fields, {errors: [{path: 'a'}], small: [1]});
	const joined = toFailure(Object.assign(new AggregateError([new Error('inner')], 'joined'), {small: 1}), 'threw');
	t.deepEqual([joined.fields, joined.errors?.length], [{small: 1}, 1]);
});

test('fields of an error can be anything that can be a payload, and never change its prototype', t => {
	const record = toFailure(Object.assign(new Error('a'), {status: 404, at: new Date(0), call() {}, name: 'Own', reason: 'mine'}));
	t.deepEqual(record.fields, {status: 404, at: new Date(0)});
	const error = fromFailure({reason: 'threw', name: 'a', message: 'b', fields: JSON.parse('{"__proto__": {"polluted": true}, "message": "mine"}')});
	t.false('polluted' in error);
	t.is(Object.getPrototypeOf(error), Error.prototype);
});

test('a record that becomes an Error and a record again is the same', t => {
	const described = fc.record(
		{name: fc.string({minLength: 1}), message: fc.string(), stack: fc.string({minLength: 1}), code: fc.oneof(fc.string(), fc.integer())},
		{requiredKeys: ['name', 'message', 'stack'], noNullPrototype: true},
	);
	const reason = fc.constantFrom('threw', 'timedOut', 'lostWorker', 'cancelled', 'badResult', 'unknownTask');
	fc.assert(
		fc.property(described, fc.array(described, {maxLength: 8}), reason, (outer, causes, reason) => {
			const record: FailureRecord = {reason, ...outer, ...(causes.length > 0 && {causes})};
			assert.deepStrictEqual(toFailure(fromFailure(record), reason), record);
		}),
	);
	t.pass();
});

function hostile(): object {
	return new Proxy(
		{},
		{
			get: (_, name) => {
				throw new Error(`${String(name)} is private`);
			},
		},
	);
}

function fail(): never {
	throw new Error('not today');
}

function revoked(): object {
	const {proxy, revoke} = Proxy.revocable({}, {});
	revoke();
	return proxy;
}

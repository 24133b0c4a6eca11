import test from 'ava';
import {task} from '../../lib/index.ts';
import {optionsOf} from '../../lib/job/task/make-task.ts';

const add = ({a, b}: {readonly a: number; readonly b: number}) => a + b;

test('task() returns a new function: one function can be several tasks, each with its options', t => {
	const urgent = task(add, {priority: 9});
	const patient = task(add, {timeout: '1h'});
	t.deepEqual(optionsOf(urgent), {priority: 9});
	t.deepEqual(optionsOf(patient), {timeout: '1h'});
	t.deepEqual(optionsOf(add), {});
	t.is((patient as typeof add)({a: 1, b: 2}), 3);
	t.is(patient.name, 'add');
});

test('a task of a task has the options of both, and the outer ones override', t => {
	const inner = task(add, {priority: 9, timeout: '1h'});
	t.deepEqual(optionsOf(task(inner, {priority: 1})), {priority: 1, timeout: '1h'});
});

test('task() passes on payload and context, and errors of the function', t => {
	const context = {} as never;
	const given = task((...all: unknown[]) => all, {});
	t.deepEqual(given(1, context), [1, context]);
	const thrower = task(() => {
		throw new RangeError('no');
	}, {});
	t.throws(() => thrower(1, context), {instanceOf: RangeError, message: 'no'});
});

test('task() refuses anything but a function, and options that are not an object', t => {
	const wrong = task as (...all: unknown[]) => unknown;
	t.throws(() => wrong('add', {}), {code: 'BadOption', message: 'task() expects as its first argument a function; it got "add".'});
	t.throws(() => wrong({timeout: '1h'}, add), {code: 'BadOption', message: 'task() expects as its first argument a function; it got an object.'});
	t.throws(() => wrong(class Adder {}, {}), {code: 'BadOption', message: 'task() expects as its first argument a function; it got a class.'});
	t.throws(() => wrong(add, '1h'), {code: 'BadOption', message: 'task() expects as its options an object; it got "1h".'});
});

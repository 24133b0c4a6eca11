/**
 * Functions as they were when this thread began: a task may replace the global ones, as fake timers do, and what runs its
 * neighbours must not be led by them.
 */
import {clearTimeout, setImmediate, setTimeout} from 'node:timers';

export {clearTimeout, setImmediate, setTimeout};

/** The wall clock, in milliseconds since 1970. */
export const wallMs: () => number = Date.now;

/** Milliseconds since this thread began, on a clock that never jumps. */
export const steadyMs: () => number = performance.now.bind(performance);

export const {parse, stringify} = JSON;

/** With these a worker claims its jobs: replaced ones would let it run a job that it does not have, or none at all. */
export const {add, compareExchange, load, notify, store, wait, waitAsync} = Atomics;

export const {ceil, round} = Math;

export const isFiniteNumber: typeof Number.isFinite = Number.isFinite;

export const {is} = Object;

/** A promise, and how to settle it. */
export const withResolvers: typeof Promise.withResolvers = Promise.withResolvers.bind(Promise);

const [OriginalMap, OriginalSet] = [Map, Set];

export function makeMap<Key, Value>(): Map<Key, Value> {
	return new OriginalMap();
}

export function makeSet<Value>(): Set<Value> {
	return new OriginalSet();
}

/** `join(list, separator)`, `get(map, key)` and so on. */
export const join = Function.prototype.call.bind(Array.prototype.join) as (list: readonly unknown[], separator: string) => string;
export const get = Function.prototype.call.bind(Map.prototype.get) as <Key, Value>(map: ReadonlyMap<Key, Value>, key: Key) => Value | undefined;
export const set = Function.prototype.call.bind(Map.prototype.set) as <Key, Value>(map: Map<Key, Value>, key: Key, value: Value) => void;
export const has = Function.prototype.call.bind(Map.prototype.has) as <Key>(map: ReadonlyMap<Key, unknown>, key: Key) => boolean;
export const include = Function.prototype.call.bind(Set.prototype.add) as <Value>(all: Set<Value>, value: Value) => void;

export const exit: typeof process.exit = process.exit.bind(process);

/** Seconds since this process began. */
export const uptime: typeof process.uptime = process.uptime.bind(process);

export const kill: typeof process.kill = process.kill.bind(process);

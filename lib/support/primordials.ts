/**
 * Global functions as they were when this thread started. A task may replace the globals, as fake timers do. The code that runs the other jobs of
 * the worker must not call the replacements.
 */
import {clearTimeout, setImmediate, setTimeout} from 'node:timers';

export {clearTimeout, setImmediate, setTimeout};

/** The wall clock, in milliseconds since 1970. */
export const wallMs: () => number = Date.now;
/** A clock that never jumps, in milliseconds since this thread started. */
export const steadyMs: () => number = performance.now.bind(performance);
/** Seconds since this process started. */
export const uptime: typeof process.uptime = process.uptime.bind(process);

/** A worker takes jobs of its chunk by these. With replaced ones it could run a job that was taken back, or none at all. */
export const {add, compareExchange, load, notify, store, wait, waitAsync} = Atomics;

export const {parse, stringify} = JSON;
export const {ceil, round} = Math;
export const {is} = Object;
export const isFiniteNumber: typeof Number.isFinite = Number.isFinite;
export const withResolvers: typeof Promise.withResolvers = Promise.withResolvers.bind(Promise);
export const exit: typeof process.exit = process.exit.bind(process);
export const kill: typeof process.kill = process.kill.bind(process);

const [OriginalMap, OriginalSet] = [Map, Set];
export const makeMap = <Key, Value>(): Map<Key, Value> => new OriginalMap();
export const makeSet = <Value>(): Set<Value> => new OriginalSet();

/** Methods as functions: the object comes first. */
export const join = Function.prototype.call.bind(Array.prototype.join) as (list: readonly unknown[], separator: string) => string;
export const get = Function.prototype.call.bind(Map.prototype.get) as <Key, Value>(map: ReadonlyMap<Key, Value>, key: Key) => Value | undefined;
export const set = Function.prototype.call.bind(Map.prototype.set) as <Key, Value>(map: Map<Key, Value>, key: Key, value: Value) => void;
export const has = Function.prototype.call.bind(Map.prototype.has) as <Key>(map: ReadonlyMap<Key, unknown>, key: Key) => boolean;
export const include = Function.prototype.call.bind(Set.prototype.add) as <Value>(all: Set<Value>, value: Value) => void;

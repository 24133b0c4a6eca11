/**
 * Functions as they were when this thread began: a task may replace the global ones, as fake timers do, and what runs its
 * neighbours must not be led by them.
 */
import {clearInterval, clearTimeout, setImmediate, setInterval, setTimeout} from 'node:timers';

export {clearInterval, clearTimeout, setImmediate, setInterval, setTimeout};

/** The wall clock, in milliseconds since 1970. */
export const wallMs: () => number = Date.now;

/** Milliseconds since this thread began, on a clock that never jumps. */
export const steadyMs: () => number = performance.now.bind(performance);

export const {parse, stringify} = JSON;

/** With these a worker claims its jobs: replaced ones would let it run a job that it does not have, or none at all. */
export const {add, compareExchange, load, notify, store, wait, waitAsync} = Atomics;

export const {ceil, round} = Math;

export const exit: typeof process.exit = process.exit.bind(process);

export const kill: typeof process.kill = process.kill.bind(process);

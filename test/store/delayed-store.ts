import {setImmediate} from 'node:timers/promises';
import type {Store} from '../../lib/store/store.ts';

/**
 * A store whose answers come some turns of the event loop late, so that they may overtake each other. Calls reach the inner store at once and in
 * order.
 * @param chance gives numbers in [0, 1)
 * @param nextTurn resolves in the next turn of the event loop, or of a simulated one
 */
export function delayed(store: Store, chance: () => number, nextTurn: () => Promise<unknown> = setImmediate): Store {
	return new Proxy(store, {
		get(target, name) {
			const value: unknown = Reflect.get(target, name, target);
			if (typeof value !== 'function') return value;
			if (name === 'listen' || name === 'now') return value.bind(target);
			return async (...args: unknown[]) => {
				const answer: Promise<unknown> = value.apply(target, args);
				await Promise.allSettled([answer, passTurns(1 + Math.floor(4 * chance()), nextTurn)]);
				return answer;
			};
		},
	});
}

async function passTurns(turns: number, nextTurn: () => Promise<unknown>): Promise<void> {
	for (let turn = 0; turn < turns; turn++) await nextTurn();
}

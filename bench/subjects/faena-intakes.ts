import type {Engine} from '../../lib/index.ts';
import type {Tasks} from '../measure/engine.ts';
import {IN_FLIGHT, type Intake} from '../plan/suite.ts';
import {inLanes} from './lanes.ts';

/**
 * Enqueues the jobs, and resolves when all have ended. The type is that of one task, since all tasks of the suite take numbers or pairs of them.
 * @param round a name that no other drain of this engine has, for batches and keys
 */
type Take = (faena: Engine<Tasks>, task: 'spin', payloads: readonly Payload[], round: string) => Promise<unknown>;
type Payload = readonly [number, number];

const PRIORITIES = [0, 1, 2];
const LONGEST_DELAY_MS = 20;
/** The number of different delays. */
const DELAYS = 5;

/** How the jobs of each lane are enqueued. */
export const INTAKES: Readonly<Record<Intake, Take>> = {
	strict: drained((faena, task, payloads) => inLanes(payloads, 1, payload => faena.enqueue(task, payload))),
	default: drained((faena, task, payloads) => inLanes(payloads, IN_FLIGHT, payload => faena.enqueue(task, payload))),
	call: (faena, task, payloads) => inLanes(payloads, IN_FLIGHT, payload => faena.call(task, payload)),
	bulk: drained((faena, task, payloads) => faena.enqueueMany(task, payloads)),
	map: mapped(),
	'map-sorted-keys': mapped(sortedKey),
	'map-random-keys': mapped(randomKey),
	keys: drained((faena, task, payloads, round) => {
		let index = 0;
		return faena.enqueueMany(task, payloads, {key: () => `${round} ${sortedKey(undefined, index++)}`});
	}),
	priorities: drained((faena, task, payloads) =>
		Promise.all(PRIORITIES.map(priority => faena.enqueueMany(task, partOf(payloads, priority, PRIORITIES.length), {priority}))),
	),
	delays: drained((faena, task, payloads) =>
		Promise.all(
			Array.from({length: DELAYS}, (_, part) => faena.enqueueMany(task, partOf(payloads, part, DELAYS), {delay: ((part + 1) * LONGEST_DELAY_MS) / DELAYS})),
		),
	),
	failures: drained((faena, _, payloads) => faena.enqueueMany('failing', numbers(payloads), {backoff: {base: 0}})),
	'two-tasks': drained((faena, _, payloads) =>
		Promise.all((['identity', 'other'] as const).map((task, part) => faena.enqueueMany(task, numbers(partOf(payloads, part, 2))))),
	),
	async watched(faena, task, payloads) {
		// It waits for the whole drain: the job's task is paused.
		await faena.pause('echo');
		const watched = await faena.enqueue('echo', '');
		const result = watched.result().catch(() => undefined);
		await faena.enqueueMany(task, payloads);
		await faena.idle();
		await faena.cancel(watched.id);
		await result;
	},
};

function drained(enqueue: Take): Take {
	return async (faena, ...given) => {
		await enqueue(faena, ...given);
		await faena.idle();
	};
}

function mapped(key?: (payload: unknown, index: number) => string): Take {
	return async (faena, task, payloads, batch) => {
		for await (const {status} of faena.map(task, payloads, {batch, ...(key && {key})}))
			if (status !== 'completed') throw new Error(`void: an item is ${status}`);
	};
}

function sortedKey(_: unknown, index: number): string {
	return `key ${String(index).padStart(9, '0')}`;
}

/** Different for different numbers: an odd factor permutes the numbers below 2³². */
function randomKey(_: unknown, index: number): string {
	return (Math.imul(index, 2654435761) >>> 0).toString(16).padStart(8, '0');
}

function partOf<Each>(all: readonly Each[], part: number, parts: number): readonly Each[] {
	return all.slice(Math.floor((part * all.length) / parts), Math.floor(((part + 1) * all.length) / parts));
}

/** The payloads of a task without work are numbers. */
function numbers(payloads: readonly unknown[]): readonly number[] {
	return payloads as readonly number[];
}

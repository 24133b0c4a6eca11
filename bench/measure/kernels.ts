import {createHash} from 'node:crypto';
import type {TaskName} from '../plan/suite.ts';

/** Work that burns CPU and can't be left out: each returns a number that depends on every round, and on nothing else. */
export const KERNELS: Readonly<Record<TaskName, (rounds: number) => number>> = {
	identity: () => 0,
	spin,
	sha256,
	json,
};

/** Marsaglia's xorshift32, {@link STEPS} steps a round. */
function spin(rounds: number): number {
	let state = 0x2545f491;
	for (let round = 0; round < rounds; round++) state = step(state);
	return state & 0xffff;
}

const STEPS = 64;

/**
 * A function of its own, since V8 compiles best what is called often: with one long loop, a job cost up to twice as much where it
 * was called from different code.
 */
function step(before: number): number {
	let state = before;
	for (let step = 0; step < STEPS; step++) {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
	}
	return state;
}

const PIECE = Buffer.alloc(4096, 1);

/**
 * SHA-256 of one message, a piece of 4 KiB a round. With a hash object for each KiB most of the time went into making and collecting those, and
 * the same rounds took up to 35 % longer in one process than in the next; so it is within 1 %.
 */
function sha256(rounds: number): number {
	const hash = createHash('sha256');
	for (let round = 0; round < rounds; round++) hash.update(PIECE);
	return hash.digest().readUInt16LE();
}

const DOCUMENT = JSON.stringify(
	Array.from({length: 8}, (_, index) => ({
		id: index,
		name: `item ${index}`,
		price: index * 1.25,
		tags: ['red', 'round', 'small'],
		stock: {shop: index, store: index * 7},
	})),
);

/** Parses a document of about 900 bytes, looks at it, and makes text of it again. */
function json(rounds: number): number {
	let sum = 0;
	for (let round = 0; round < rounds; round++) {
		const items = JSON.parse(DOCUMENT) as {id: number; stock: {store: number}}[];
		(items[0] as {id: number}).id = round;
		for (const {stock} of items) sum = (sum + stock.store) & 0xffff;
		sum = (sum + JSON.stringify(items).length) & 0xffff;
	}
	return sum;
}

/** Milliseconds that a calibration takes: long enough for the clock, short beside a measurement. */
const CALIBRATION_MS = 20;
const CALIBRATIONS = 4;

/**
 * Rounds of the kernel that take a microsecond, in this process, now. The fastest of a few counts: on a busy machine V8's own
 * thread may not yet have compiled the kernel when the first is long enough, and then jobs would be twelve times too short.
 */
export function roundsPerMicro(task: TaskName): number {
	if (task === 'identity') return 0;
	for (let rounds = 64; ; rounds *= 2) {
		if (timeOf(task, rounds) < CALIBRATION_MS) continue;
		const ms = Math.min(...Array.from({length: CALIBRATIONS}, () => timeOf(task, rounds)));
		if (ms >= CALIBRATION_MS) return rounds / (ms * 1000);
	}
}

function timeOf(task: TaskName, rounds: number): number {
	const start = performance.now();
	KERNELS[task](rounds);
	return performance.now() - start;
}

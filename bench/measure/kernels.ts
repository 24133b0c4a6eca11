import {createHash} from 'node:crypto';
import type {TaskName} from '../plan/suite.ts';

/** Work for a processor. V8 can't leave any of it out, because the number that a kernel returns depends on every round. */
export const KERNELS: Readonly<Record<TaskName, (rounds: number) => number>> = {
	identity: () => 0,
	spin,
	sha256,
	json,
	wait,
};

/** Marsaglia's xorshift32, {@link STEPS} steps a round. */
function spin(rounds: number): number {
	let state = 0x2545f491;
	for (let round = 0; round < rounds; round++) state = step(state);
	return state & 0xffff;
}

const STEPS = 64;

/**
 * A separate function, because V8 optimises a function that is called often. With one long loop a job took up to twice as long when
 * other code called it.
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
 * SHA-256 of one message, 4 KiB a round. It uses one hash object, and processes differ by at most 1 %. With a hash object for each KiB
 * most of the time went into making and collecting these objects, and processes differed by up to 35 %.
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

/** Parses a document of about 900 bytes, reads and changes it, and prints it as JSON again. */
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

const NEVER_CHANGES = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

/** Waits a microsecond a round, and uses no processor meanwhile: so a worker stands for a processor that the machine does not have. */
function wait(rounds: number): number {
	Atomics.wait(NEVER_CHANGES, 0, 0, rounds / 1000);
	return 0;
}

/** A calibration takes at least this long: long enough for the clock, short beside a measurement. */
const CALIBRATION_MS = 20;
const CALIBRATIONS = 4;

/**
 * Rounds of the kernel in a microsecond, in this process, now. The fastest of several calibrations counts: on a busy machine V8 may
 * not have compiled the kernel before the first one, and then jobs would be twelve times too short.
 */
export function roundsPerMicro(task: TaskName): number {
	if (task === 'identity') return 0;
	if (task === 'wait') return 1;
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

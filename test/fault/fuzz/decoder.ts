import {decode, type Encoded, encode, sameValue, sizeBytes} from '../../../lib/job/encoding.ts';
import {fromFailure, toFailure} from '../../../lib/job/failure.ts';
import {readCompletionJob, readFailure, readMarks, readPolicy, writeFailure} from '../../../lib/store/stored-json.ts';
import {FaenaError} from '../../../lib/support/errors.ts';
import {pick, seeded} from '../../fixtures/random.ts';
import {mutated} from './mutations.ts';
import {MaintenanceResult, type Result, type Round, seedsOf} from './round.ts';
import {difference} from './same.ts';
import {good, specimen} from './specimens.ts';

type Random = () => number;

/** Damaged values, failures, policies, marks and completion jobs, to those who read them. */
export async function fuzzDecoder(round: Round): Promise<Result> {
	const findings = new MaintenanceResult();
	for (const seed of seedsOf(round)) {
		const random = seeded(seed);
		const kind = pick(random, Object.keys(READERS));
		const {make, read} = READERS[kind] as Reader;
		const input = damaged(make(random), make(random), random);
		try {
			const complaint = read(input);
			if (complaint !== undefined) findings.complain(`${kind} of ${seed}`, `${complaint}: ${input.toString('latin1')}`);
			findings.count(`${kind}: read`);
		} catch (error) {
			if (isRefusal(error)) findings.count(`${kind}: refused`);
			else findings.complain(`${kind} of ${seed}`, `${String(error)}: ${input.toString('latin1')}`);
		}
	}
	return findings;
}

/** Half of the rich values have damages in their text only, so that they get past the first look. */
function damaged(bytes: Buffer, other: Buffer, random: Random): Buffer {
	if (bytes[0] !== 2 || random() < 0.5) return mutated(bytes, random, other);
	const end = 5 + bytes.readUInt32LE(1);
	const text = mutated(bytes.subarray(5, end), random, other.subarray(5));
	const head = Buffer.from([2, 0, 0, 0, 0]);
	head.writeUInt32LE(text.length, 1);
	return Buffer.concat([head, text, bytes.subarray(end)]);
}

interface Reader {
	/** An undamaged one. */
	make(random: Random): Buffer;
	/** @returns a sentence if something is wrong with what it is read as */
	read(input: Buffer): string | undefined;
}

const READERS: Readonly<Record<string, Reader>> = {
	value: {make: encoded, read: readValue},
	text: {make: encoded, read: input => readValue(input.toString())},
	'same value': {
		make: encoded,
		read: input => (sameValue(input, Buffer.from(input)) === isReadable(input) ? undefined : 'it is another than itself'),
	},
	failure: {
		make: random => Buffer.from(writeFailure(toFailure(specimen(random).value, 'lostWorker'))),
		read: input => {
			const record = readFailure(input.toString());
			return difference(readFailure(writeFailure(record)), record) ?? complaintOfError(fromFailure(record));
		},
	},
	policy: {
		make: () => json({maxAttempts: 3, timeoutMs: 5, timeoutPercent: 300, backoff: {baseMs: 1, factor: 2, maxMs: 3, jitter: 0.5}, retry: 'auto'}),
		read: input => {
			const {maxAttempts, backoff} = readPolicy(input.toString());
			return [maxAttempts, ...Object.values(backoff)].every(Number.isFinite) ? undefined : 'a limit is no number';
		},
	},
	marks: {
		make: () =>
			json([
				{at: 1, ended: 2},
				{at: 3, ended: 4},
			]),
		read: input => (readMarks(input.toString()).every(({at, ended}) => Number.isFinite(at + ended)) ? undefined : 'a mark is no number'),
	},
	'completion job': {
		make: () =>
			json({task: 'after', priority: 0, policy: {maxAttempts: 1, timeoutMs: null, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}, retry: 'auto'}}),
		read: input => {
			const job = readCompletionJob(input.toString());
			return job === undefined || (typeof job.task === 'string' && Number.isSafeInteger(job.priority)) ? undefined : 'this is no job';
		},
	},
};

function encoded(random: Random): Buffer {
	const value = random() < 0.2 ? specimen(random).value : good(random).value;
	try {
		return Buffer.from((encode(value, 'value') ?? '') as string);
	} catch {
		return Buffer.from([2, 2, 0, 0, 0, 0x31, 0x32]);
	}
}

function json(value: unknown): Buffer {
	return Buffer.from(JSON.stringify(value));
}

function readValue(stored: Encoded): string | undefined {
	const value = decode(stored);
	const weight = weigh(value, 1);
	// What is small must not become large: each node and each byte of it costs a byte at least.
	return weight > sizeBytes(stored) + 1 ? `${sizeBytes(stored)} bytes became ${weight}` : undefined;
}

/** Nodes and binary bytes. */
function weigh(value: unknown, depth: number): number {
	if (typeof value !== 'object' || value === null || depth > 1000) return 0;
	if (ArrayBuffer.isView(value)) return 1 + value.byteLength;
	if (value instanceof ArrayBuffer) return 1 + value.byteLength;
	const children = value instanceof Map ? [...value].flat() : value instanceof Set ? [...value] : Object.values(value);
	return children.reduce((sum: number, child) => sum + weigh(child, depth + 1), 1);
}

function isReadable(stored: Encoded): boolean {
	try {
		decode(stored);
		return true;
	} catch {
		return false;
	}
}

function isRefusal(error: unknown): boolean {
	if (!(error instanceof FaenaError)) return false;
	// Of the latter the text is the value's own.
	return error.code === 'NotEncodable' ? /^[^\n]{1,500}$/.test(error.message) : error.code === 'BadDatabase';
}

function complaintOfError(error: Error): string | undefined {
	return typeof error.message === 'string' && typeof error.name === 'string' ? undefined : 'this is no error';
}

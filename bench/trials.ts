import {createHash} from 'node:crypto';

/** One measurement: how many jobs of which task, with what payload. */
export interface Trial {
	readonly name: string;
	readonly what: string;
	readonly task: 'noop' | 'hash';
	readonly jobs: number;
	/** Work of one job, in milliseconds; turned into rounds of hashing by {@link calibrate}, so that every subject does the same. */
	readonly workMs: number;
	readonly subjects: readonly SubjectName[];
	/** What the others are compared with. */
	readonly base: SubjectName;
}

export type SubjectName = 'faena' | 'sqlite' | 'piscina' | 'tinypool';

export const LABELS: Readonly<Record<SubjectName, string>> = {
	faena: '**Faena**, durable',
	sqlite: 'better-sqlite3 alone, same statements',
	piscina: 'Piscina, one run() per job',
	tinypool: 'Tinypool, one run() per job',
};

export const TRIALS: readonly Trial[] = [
	{name: 'noop', what: 'no-op jobs', task: 'noop', jobs: 200_000, workMs: 0, subjects: ['sqlite', 'piscina', 'tinypool', 'faena'], base: 'piscina'},
	{name: '1ms', what: 'jobs of 1 ms of SHA-256', task: 'hash', jobs: 4000, workMs: 1, subjects: ['piscina', 'faena'], base: 'piscina'},
	{name: '10ms', what: 'jobs of 10 ms of SHA-256', task: 'hash', jobs: 400, workMs: 10, subjects: ['piscina', 'faena'], base: 'piscina'},
	{name: 'latency', what: 'enqueue → result, one at a time, idle engine', task: 'noop', jobs: 500, workMs: 0, subjects: ['faena'], base: 'faena'},
];

/** What one process measured. */
export interface Measurement {
	readonly trial: string;
	readonly subject: SubjectName;
	readonly jobs: number;
	readonly wallMs: number;
	/** Of the whole process, all threads. */
	readonly cpuMs: number;
	/** p99 of the delay of the caller's event loop. */
	readonly loopP99Ms?: number;
	/** Of the latency trial: medians in milliseconds. */
	readonly latencyMs?: number;
	readonly fsyncMs?: number;
}

/** Rounds of hashing that take a millisecond on this machine, now. */
export function calibrate(): number {
	hash(2000);
	const start = performance.now();
	hash(50_000);
	return 50_000 / (performance.now() - start);
}

/** The work of a hash job. Returns the last digest, so that nothing can be left out. */
export function hash(rounds: number): string {
	const block = Buffer.alloc(1024, 1);
	let digest = '';
	for (let round = 0; round < rounds; round++) {
		block.writeInt32LE(round);
		digest = createHash('sha256').update(block).digest('base64');
	}
	return digest;
}

import {execFileSync, spawn} from 'node:child_process';
import {existsSync, mkdirSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {text} from 'node:stream/consumers';
import {fileURLToPath} from 'node:url';

/** What a call that changes the disk is to end with; numbers are errno, or what `faulty.c` names so. */
export const KINDS = {EIO: 5, ENOSPC: 28, EROFS: 30, EINTR: 4, short: 1001, killBefore: 1002, killAfter: 1003} as const;

export interface Fault {
	/** Number of the call, from 1. */
	readonly call: number;
	readonly kind: keyof typeof KINDS;
	/** All later calls fail as well. */
	readonly rest: boolean;
}

/** One call as `faulty.c` writes it down; or a line that the program was told. */
export interface Call {
	readonly op: 'create' | 'open' | 'write' | 'sync' | 'truncate' | 'unlink' | 'rename' | 'mkdir' | 'told';
	readonly path: string;
	/** Of a write; the size that a file is truncated to. */
	readonly offset: number;
	/** Of a write; the new path of a rename. */
	readonly data: Buffer;
}

const OPS: Readonly<Record<string, Call['op']>> = {
	c: 'create',
	o: 'open',
	w: 'write',
	s: 'sync',
	t: 'truncate',
	u: 'unlink',
	r: 'rename',
	m: 'mkdir',
	a: 'told',
};

const HERE = fileURLToPath(new URL('.', import.meta.url));
const PROGRAM = fileURLToPath(new URL('../../fixtures/programs/disk-steps.ts', import.meta.url));

/** A program that uses up its time hangs. To give up may take it half a minute: SQLite tries for ten seconds to begin a transaction. */
const TIMEOUT_MS = 60_000;

interface RunOptions {
	readonly fault?: Fault;
	/** Write all calls down. */
	readonly record?: boolean;
	readonly durability?: 'full' | 'normal';
}

/** A run of `disk-steps` in a folder of its own, on a disk that fails as told. */
export class Run {
	readonly folder: string;
	readonly queue: string;

	constructor(folder: string) {
		rmSync(folder, {recursive: true, force: true});
		mkdirSync(join(folder, 'disk'), {recursive: true});
		this.folder = folder;
		this.queue = join(folder, 'disk', 'jobs.db');
	}

	async take({fault, record = false, durability = 'full'}: RunOptions = {}): Promise<{readonly stderr: string; readonly hangs: boolean}> {
		const child = spawn(process.execPath, [PROGRAM, this.queue, this.#acks, durability], {
			env: {
				...process.env,
				LD_PRELOAD: library(),
				FAULTY_ROOT: join(this.folder, 'disk'),
				FAULTY_ACKS: this.#acks,
				...(record && {FAULTY_LOG: join(this.folder, 'log')}),
				...(fault && {FAULTY_CALL: String(fault.call), FAULTY_KIND: String(KINDS[fault.kind])}),
				...(fault?.rest && {FAULTY_REST: '1'}),
			},
			stdio: ['ignore', 'ignore', 'pipe'],
		});
		let hangs = false;
		const timer = setTimeout(() => {
			hangs = true;
			child.kill('SIGKILL');
		}, TIMEOUT_MS);
		const stderr = await text(child.stderr);
		clearTimeout(timer);
		return {stderr, hangs};
	}

	/** What the program was told, in order. */
	get told(): string[] {
		return existsSync(this.#acks) ? readFileSync(this.#acks, 'utf8').split('\n').slice(0, -1) : [];
	}

	get calls(): Call[] {
		return parse(readFileSync(join(this.folder, 'log')));
	}

	get #acks(): string {
		return join(this.folder, 'acks');
	}
}

let built: string | undefined;

function library(): string {
	if (built) return built;
	built = join(tmpdir(), `faena-faulty-${process.pid}.so`);
	execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-o', built, join(HERE, 'faulty.c'), '-ldl', '-lpthread']);
	process.on('exit', () => rmSync(built as string, {force: true}));
	return built;
}

/** Why programs can't be given a faulty disk here, if so. */
export function whyNoFaultyDisk(): string | undefined {
	if (process.platform !== 'linux') return 'LD_PRELOAD is a thing of Linux';
	try {
		library();
		return undefined;
	} catch (error) {
		return `gcc is needed: ${(error as Error).message}`;
	}
}

function parse(log: Buffer): Call[] {
	const calls: Call[] = [];
	for (let at = 0; at < log.length; ) {
		const op = OPS[String.fromCharCode(log.readUInt32LE(at))] as Call['op'];
		const pathSize = log.readUInt32LE(at + 4);
		const offset = Number(log.readBigInt64LE(at + 8));
		const size = Number(log.readBigInt64LE(at + 16));
		at += 24;
		const path = log.toString('utf8', at, at + pathSize);
		at += pathSize;
		const hasData = op === 'write' || op === 'told' || op === 'rename';
		const data = log.subarray(at, at + (hasData ? size : 0));
		at += data.length;
		calls.push({op, path, offset, data});
	}
	return calls;
}

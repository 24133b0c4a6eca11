import {once} from 'node:events';
import {closeSync, createReadStream, mkdirSync, openSync, rmSync, writeSync} from 'node:fs';
import {join} from 'node:path';
import type {CommandOutput} from './output-files.ts';
import {LineLabels} from './tagged-lines.ts';

/** More of a stream than this is in a file, not in memory, until its command has ended. */
const MAX_MEMORY_BYTES = 1024 ** 2;

export const STREAMS = ['stdout', 'stderr'] as const;
type Stream = (typeof STREAMS)[number];

/** Where the whole output of a command is. */
export interface WholeOutput {
	/** The paths of the files. */
	readonly paths: Readonly<Record<Stream, string>>;
	/** Whether the files are there for printing only. */
	readonly isTemporary: boolean;
}

/** The files for the output of a job's command. */
export function spillPaths(folder: string, jobId: number): WholeOutput['paths'] {
	return {stdout: join(folder, `${jobId}.stdout`), stderr: join(folder, `${jobId}.stderr`)};
}

/** Holds the output of a command until it has ended. What is too much to be kept with the job is then in files, until it was printed. */
export class SpilledOutput implements CommandOutput {
	readonly #folder: string;
	readonly #paths: WholeOutput['paths'];
	readonly #parts: Record<Stream, Buffer[]> = {stdout: [], stderr: []};
	readonly #sizes = {stdout: 0, stderr: 0};
	readonly #files: Partial<Record<Stream, number>> = {};
	#hasFailed = false;

	/** @param folder made once it is needed */
	constructor(folder: string, jobId: number) {
		this.#folder = folder;
		this.#paths = spillPaths(folder, jobId);
	}

	add(part: Buffer, stream: Stream): undefined {
		// The part is used again for other output.
		this.#parts[stream].push(Buffer.from(part));
		this.#sizes[stream] += part.length;
		if (this.#sizes[stream] > MAX_MEMORY_BYTES) this.#write(stream);
	}

	end(isCut: boolean): void {
		if (isCut) for (const stream of STREAMS) this.#write(stream);
		for (const file of Object.values(this.#files)) closeSync(file);
		if (!isCut || this.#hasFailed) for (const path of Object.values(this.#paths)) rmSync(path, {force: true});
	}

	/** A full disk for temporary files is no failure of the command. */
	#write(stream: Stream): void {
		const parts = this.#parts[stream].splice(0);
		if (this.#hasFailed) return;
		try {
			mkdirSync(this.#folder, {recursive: true, mode: 0o700});
			this.#files[stream] ??= openSync(this.#paths[stream], 'w', 0o600);
			const bytes = Buffer.concat(parts);
			for (let written = 0; written < bytes.length; ) written += writeSync(this.#files[stream], bytes, written);
			this.#sizes[stream] = 0;
		} catch {
			this.#hasFailed = true;
		}
	}
}

/**
 * Prints it, stdout to stdout and stderr to stderr. Temporary files are removed.
 * @param label stands before each line
 */
export async function printWhole({paths, isTemporary}: WholeOutput, label: string | undefined, signal: AbortSignal): Promise<void> {
	for (const stream of STREAMS) {
		const labels = label === undefined ? undefined : new LineLabels(label);
		for await (const part of createReadStream(paths[stream], {signal}) as AsyncIterable<Buffer>)
			if (!process[stream].write(labels ? labels.add(part) : part)) await once(process[stream], 'drain', {signal});
		if (isTemporary) rmSync(paths[stream]);
	}
}

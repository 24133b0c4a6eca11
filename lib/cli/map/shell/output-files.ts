import {createHash} from 'node:crypto';
import {closeSync, mkdirSync, openSync, statSync, writeFileSync, writeSync} from 'node:fs';
import {join} from 'node:path';

/** Takes the output of a command as it comes. */
export interface CommandOutput {
	/** The part is used again for other output. Returns a promise if no more is to come for a while. */
	add(part: Buffer, stream: 'stdout' | 'stderr'): Promise<unknown> | undefined;
	/**
	 * There is no more.
	 * @param isCut whether the job keeps less than all
	 */
	end(isCut: boolean): void;
}

/** Writes all output of a command into files, as GNU parallel's `--results`: `FOLDER/1/VALUE/stdout` and `stderr`, and with two values `FOLDER/1/VALUE/2/VALUE/…`. */
export function outputFiles(folder: string, item: unknown): CommandOutput {
	makeFolder(folder, item);
	const {stdout, stderr} = outputPaths(folder, item);
	const files = {stdout: openSync(stdout, 'w'), stderr: openSync(stderr, 'w')};
	return {
		add(part, stream) {
			for (let written = 0; written < part.length; ) written += writeSync(files[stream], part, written);
			return undefined;
		},
		end() {
			closeSync(files.stdout);
			closeSync(files.stderr);
		},
	};
}

/** The files of an item's output. */
export function outputPaths(folder: string, item: unknown): Readonly<Record<'stdout' | 'stderr', string>> {
	const own = join(folder, ...placeOf(item));
	return {stdout: join(own, 'stdout'), stderr: join(own, 'stderr')};
}

/**
 * Writes the output of a command that ran in an earlier run, as far as its job has kept it. A file that is as long as all of the output stays.
 * @param cut the bytes of each that were not kept
 */
export function keepOutput(
	folder: string,
	item: unknown,
	outputs: {readonly stdout: string | Uint8Array; readonly stderr: string | Uint8Array},
	cut = {stdout: 0, stderr: 0},
): void {
	makeFolder(folder, item);
	const paths = outputPaths(folder, item);
	for (const stream of ['stdout', 'stderr'] as const) {
		const isKept = cut[stream] > 0 && hasAll(paths[stream], outputs[stream], cut[stream]);
		if (!isKept) writeFileSync(paths[stream], outputs[stream]);
	}
}

/** Whether a file is as long as all of an output, of which the job keeps a part. @param cut the bytes that it does not keep */
export function hasAll(path: string, kept: string | Uint8Array, cut: number): boolean {
	return statSync(path, {throwIfNoEntry: false})?.size === Buffer.byteLength(kept) + cut;
}

function makeFolder(folder: string, item: unknown): void {
	mkdirSync(join(folder, ...placeOf(item)), {recursive: true});
}

/** The folders of an item: a name and a value for each of its values. */
function placeOf(item: unknown): readonly string[] {
	const values: readonly (readonly [name: string, value: unknown])[] = Array.isArray(item)
		? item.map((value, index) => [String(index + 1), value])
		: typeof item === 'object' && item !== null
			? Object.entries(item)
			: [['1', item]];
	return values.flatMap(([name, value]) => [folderName(name), folderName(typeof value === 'string' ? value : JSON.stringify(value))]);
}

/** Most file systems allow no longer names. */
const MAX_NAME_BYTES = 200;

/** The text as the name of one folder: as with GNU parallel, a slash becomes `\_`, and a backslash is doubled. */
function folderName(text: string): string {
	const name = text.replaceAll('\\', '\\\\').replaceAll('/', '\\_').replaceAll('\0', '\\0');
	// The names that mean another folder, and the empty one.
	if (/^\.{0,2}$/.test(name)) return `\\${name}`;
	if (Buffer.byteLength(name) <= MAX_NAME_BYTES) return name;
	return `${Buffer.from(name)
		.subarray(0, MAX_NAME_BYTES - 20)
		.toString()
		.replace(/\uFFFD*$/, '')}\\${createHash('sha256').update(name).digest('hex').slice(0, 16)}`;
}

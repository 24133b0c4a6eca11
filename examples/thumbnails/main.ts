/**
 * Makes thumbnails of a folder of photographs, on all processors. After a stop or a kill the same command makes only the
 * missing ones, and those of photographs that have changed.
 *
 *     node examples/thumbnails/main.ts [folder] [--out folder, default thumbnails] [--width pixels, default 320] [--isolation thread|process]
 *
 * Without a folder it makes 200 photographs of its own first. Exit code: 0 all done, 1 some files can't be read, 2 bad input.
 */
import {existsSync, mkdirSync} from 'node:fs';
import {readdir, stat} from 'node:fs/promises';
import {availableParallelism} from 'node:os';
import {join, relative, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
// On Linux the main thread must load it before a worker does: https://github.com/lovell/sharp/issues/2263
import 'sharp';
import {FaenaError, type OpenOptions, open} from 'faena';

type Isolation = NonNullable<OpenOptions['isolation']>;

interface File {
	/** Relative to the folder. */
	readonly name: string;
	readonly bytes: number;
	readonly modified: number;
}

const OPTIONS = {
	out: {type: 'string', default: 'thumbnails'},
	width: {type: 'string', default: '320'},
	isolation: {type: 'string', default: 'thread'},
	photographs: {type: 'string', default: '200'},
} as const;

const workers = availableParallelism();
// sharp works in threads of libuv, which all worker threads share: 4 by default.
process.env['UV_THREADPOOL_SIZE'] ??= String(Math.max(4, workers));

try {
	const {values, positionals} = parseArgs({allowPositionals: true, options: OPTIONS});
	const folder = positionals[0] === undefined ? await makePhotographs(toNumber('--photographs', values.photographs)) : resolve(positionals[0]);
	await makeThumbnails(folder, resolve(values.out), toNumber('--width', values.width), values.isolation as Isolation);
} catch (error) {
	const isStopped = error instanceof FaenaError && error.code === 'Closed';
	console.error(isStopped ? 'Stopped; the same command goes on from here.' : (error as Error).message);
	process.exitCode = 2;
}

async function makeThumbnails(folder: string, out: string, width: number, isolation: Isolation): Promise<void> {
	const files = await filesIn(folder, out);
	if (files.length === 0) throw new Error(`There are no files in ${folder}.`);
	const show = (done: number) => process.stderr.isTTY && process.stderr.write(`\r${done} of ${files.length} `);
	const faena = await openEngine(out, isolation);
	const start = performance.now();
	const sums = {images: 0, reused: 0, bytesIn: 0, bytesOut: 0, ms: 0};
	const thumbnails = faena.map('thumbnail', files, {
		batch: folder,
		key: ({name}) => name,
		payload: ({name, modified}) => ({file: join(folder, name), modified, width, out: join(out, `${name}.webp`)}),
		fresh: 'payload',
	});
	for await (const each of thumbnails) {
		show(thumbnails.progress().completed);
		if (each.status !== 'completed') {
			console.error(`${each.key}: ${each.error.message}`);
			process.exitCode = 1;
			continue;
		}
		sums.images++;
		sums.bytesIn += each.item.bytes;
		sums.bytesOut += each.result.bytes;
		if (each.reused) sums.reused++;
		else sums.ms += each.result.ms;
	}
	await faena.close();
	report(sums, (performance.now() - start) / 1000);
}

function report(
	{images, reused, bytesIn, bytesOut, ms}: {images: number; reused: number; bytesIn: number; bytesOut: number; ms: number},
	seconds: number,
): void {
	const made = images - reused;
	console.log(`${images} images, ${megabytes(bytesIn)} in, ${megabytes(bytesOut)} out${reused > 0 ? `; ${reused} of them made before` : ''}`);
	if (made === 0) return;
	const efficiency = ms / 1000 / (seconds * workers);
	console.log(
		`${made} in ${seconds.toFixed(1)} s: ${(made / seconds).toFixed(1)} images/s, efficiency ${(100 * efficiency).toFixed(0)} % (tasks ${(ms / 1000).toFixed(1)} s ÷ ${workers} workers × ${seconds.toFixed(1)} s)`,
	);
}

/** All files except hidden ones and those that this program writes. */
async function filesIn(folder: string, out: string): Promise<File[]> {
	if (!(await stat(folder).catch(() => undefined))?.isDirectory()) throw new Error(`${folder} is not a folder.`);
	if (folder === out) throw new Error('The thumbnails go into another folder than the photographs; name it with --out.');
	const own = out.startsWith(join(folder, '/')) ? join(out, '/') : undefined;
	const files: File[] = [];
	for (const entry of await readdir(folder, {recursive: true, withFileTypes: true})) {
		const path = join(entry.parentPath, entry.name);
		if (!entry.isFile() || entry.name.startsWith('.') || (own !== undefined && path.startsWith(own))) continue;
		const {size, mtimeMs} = await stat(path);
		files.push({name: relative(folder, path), bytes: size, modified: mtimeMs});
	}
	return files;
}

/** Photographs of 12, 18 and 24 megapixels, beside this program; made once. */
async function makePhotographs(count: number): Promise<string> {
	const folder = fileURLToPath(new URL('photographs', import.meta.url));
	const photographs = Array.from({length: count}, (_, index) => {
		const [width, height] = [
			[4000, 3000],
			[4896, 3672],
			[5664, 4248],
		][index % 3] as [number, number];
		return {file: join(folder, `${index + 1}.jpg`), width, height};
	});
	if (photographs.every(({file}) => existsSync(file))) return folder;
	console.error(`Making ${count} photographs in ${relative('.', folder)}.`);
	const faena = await openEngine(folder, 'thread');
	for await (const each of faena.map('photograph', photographs, {batch: 'photographs', key: ({file}) => file}))
		if (each.status !== 'completed') throw each.error;
	await faena.close();
	return folder;
}

/** The queue is in the same folder as the files that its jobs write, so that both are deleted together. */
async function openEngine(out: string, isolation: Isolation) {
	mkdirSync(out, {recursive: true});
	const tasks = new URL('./tasks.ts', import.meta.url);
	return open<typeof import('./tasks.ts')>({queue: join(out, '.jobs.db'), tasks, isolation, workers, closeOnSignals: true});
}

/** @throws TypeError a sentence for the user */
function toNumber(name: string, value: string): number {
	const number = Number(value);
	if (Number.isInteger(number) && number >= 1 && number <= 10_000) return number;
	throw new TypeError(`${name} is a whole number from 1 to 10000; it got ${value}`);
}

function megabytes(bytes: number): string {
	return `${(bytes / 1e6).toFixed(1)} MB`;
}

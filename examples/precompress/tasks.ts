import {mkdirSync, readFileSync, renameSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {brotliCompressSync, brotliDecompressSync, constants, gunzipSync, gzipSync} from 'node:zlib';
import {task} from 'faena';

export interface Precompressed {
	readonly bytes: number;
	readonly brotli: number;
	readonly gzip: number;
	readonly cpuMs: number;
}

/**
 * Writes the smallest Brotli and gzip forms of a file into the folder PRECOMPRESS_OUT. They have the names that a web server
 * expects. To write them twice does no harm. If one of them is gone, the next run makes it again.
 */
export const precompress = task(compress, {outputs: file => ENDINGS.map(ending => targetOf(file) + ending)});

const ENDINGS = ['.br', '.gz'];

function targetOf(file: string): string {
	return join(process.env['PRECOMPRESS_OUT'] ?? 'compressed', file);
}

function compress(file: string): Precompressed {
	const start = cpuMs();
	const content = readFileSync(file);
	const brotli = brotliCompressSync(content, {params: {[constants.BROTLI_PARAM_SIZE_HINT]: content.length}});
	const gzip = gzipSync(content, {level: 9});
	if (!brotliDecompressSync(brotli).equals(content) || !gunzipSync(gzip).equals(content)) throw new Error(`${file} did not survive compression`);
	const target = targetOf(file);
	mkdirSync(dirname(target), {recursive: true});
	writeWhole(`${target}.br`, brotli);
	writeWhole(`${target}.gz`, gzip);
	return {bytes: content.length, brotli: brotli.length, gzip: gzip.length, cpuMs: cpuMs() - start};
}

/** A reader, or a run after a crash, finds the whole file or none. */
function writeWhole(path: string, content: Uint8Array): void {
	writeFileSync(`${path}.tmp`, content, {flush: true});
	renameSync(`${path}.tmp`, path);
}

function cpuMs(): number {
	// Node 22 has no clock for one thread's work.
	if (!process.threadCpuUsage) return performance.now();
	const {user, system} = process.threadCpuUsage();
	return (user + system) / 1000;
}

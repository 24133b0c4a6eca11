/**
 * Pre-compresses a site's text files on all processors. Stop it with Ctrl-C or kill -9: the same command continues. Edit a file, and the same command
 * compresses that one again.
 *
 *     node examples/precompress/main.ts [folder, default node_modules] [--out folder, default demo-output]
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdirSync, readdirSync, statSync} from 'node:fs';
import {availableParallelism, constants} from 'node:os';
import {join, relative, resolve} from 'node:path';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import type {Precompressed} from './tasks.ts';

/** The file that `npx faena` runs. To start it directly saves a process of npm. */
const command = fileURLToPath(import.meta.resolve('faena').replace(/index(\.[jt]s)$/, 'cli/main$1'));
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const {values, positionals} = parse();
const site = resolve(positionals[0] ?? here('../../node_modules'));
if (!statSync(site, {throwIfNoEntry: false})?.isDirectory()) refuse(`${site} is not a folder; name that of the site.`);
const out = resolve(values.out ?? here('../../demo-output'));
const workers = availableParallelism();

const sums = {files: 0, bytes: 0, brotli: 0, gzip: 0, reused: 0, cpuMs: 0};
const start = performance.now();
const code = await compress();
if (code !== 0) process.exitCode = code;
else if (sums.files === sums.reused) console.log(`All ${count(sums.files)} files were compressed before.`);
else report((performance.now() - start) / 1000);
if (code === 0) console.log(`To start anew: rm -r ${relative('.', out)}`);

function parse() {
	try {
		return parseArgs({allowPositionals: true, options: {out: {type: 'string'}}});
	} catch (error) {
		return refuse((error as Error).message);
	}
}

function refuse(sentence: string): never {
	console.error(sentence);
	process.exit(2);
}

/** Runs `faena map` and adds up its results. Returns its exit code. */
async function compress(): Promise<number> {
	mkdirSync(out, {recursive: true});
	const args = ['map', `${here('tasks.ts')}#precompress`, '**/*.{js,mjs,cjs,css,html,json,svg,md,txt,d.ts,map}'];
	const options = ['--queue', join(out, 'demo.db'), '--batch', 'precompress', '--workers', String(workers)];
	const faena = spawn(process.execPath, [...process.execArgv, command, ...args, ...options], {
		cwd: site,
		env: {...process.env, PRECOMPRESS_OUT: out},
		stdio: ['ignore', 'pipe', 'inherit'],
	});
	// At a terminal Ctrl-C also reaches the child. A second signal would tell it not to wait.
	process.on('SIGINT', signal => process.stderr.isTTY || faena.kill(signal));
	process.on('SIGTERM', signal => faena.kill(signal));
	const closed = once(faena, 'close');
	for await (const line of createInterface({input: faena.stdout})) add(JSON.parse(line));
	const [exitCode, signal] = (await closed) as [number | null, NodeJS.Signals | null];
	if (signal === 'SIGKILL') console.error('\nfaena map was killed. The same command continues.');
	return exitCode ?? 128 + constants.signals[signal ?? 'SIGKILL'];
}

function add({status, reused, result}: {status: string; reused?: true; result: Precompressed}): void {
	if (status !== 'completed') return;
	sums.files++;
	sums.bytes += result.bytes;
	sums.brotli += result.brotli;
	sums.gzip += result.gzip;
	if (reused) sums.reused++;
	else sums.cpuMs += result.cpuMs;
}

function report(seconds: number): void {
	const {files, bytes, brotli, gzip, reused, cpuMs} = sums;
	const executed = files - reused;
	const efficiency = cpuMs / 1000 / (seconds * workers);
	const written = countOutputs();
	console.log(`
files       ${count(files)}, ${megabytes(bytes)}${reused > 0 ? `; ${count(reused)} of them done before` : ''}
Brotli      ${megabytes(brotli)}: ${megabytes(bytes - brotli)} saved, ${percent(1 - brotli / bytes)}
gzip        ${megabytes(gzip)}: ${megabytes(bytes - gzip)} saved, ${percent(1 - gzip / bytes)}
this run    ${count(executed)} jobs in ${seconds.toFixed(1)} s, ${(executed / seconds).toFixed(0)} jobs/s
efficiency  ${percent(efficiency)} (task CPU ${(cpuMs / 1000).toFixed(1)} s ÷ ${workers} workers × ${seconds.toFixed(1)} s)
written     ${count(written.br)} .br and ${count(written.gz)} .gz in ${relative('.', out)}`);
}

function countOutputs(): {readonly br: number; readonly gz: number} {
	const names = readdirSync(out, {recursive: true}) as string[];
	return {br: names.filter(name => name.endsWith('.br')).length, gz: names.filter(name => name.endsWith('.gz')).length};
}

function count(value: number): string {
	return value.toLocaleString('en-US');
}

function megabytes(bytes: number): string {
	return `${(bytes / 1e6).toFixed(1)} MB`;
}

function percent(share: number): string {
	return `${(100 * share).toFixed(0)}%`;
}

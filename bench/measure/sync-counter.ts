import {execFileSync} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {FOLDER} from '../plan/folder.ts';
import type {Surroundings} from '../plan/suite.ts';

/** A library to preload that counts fsyncs in a file. Without Linux and a C compiler there is none, and nothing is counted. */
export function compileSyncCounter(): Partial<NonNullable<Surroundings['counter']>> & Disposable {
	const folder = mkdtempSync(join(tmpdir(), 'faena-bench-'));
	const dispose = () => rmSync(folder, {recursive: true});
	const library = join(folder, 'syncs.so');
	try {
		execFileSync('cc', ['-shared', '-fPIC', '-O2', '-o', library, fileURLToPath(new URL('measure/syncs.c', FOLDER)), '-ldl'], {stdio: 'ignore'});
	} catch {
		return {[Symbol.dispose]: dispose};
	}
	const file = join(folder, 'count');
	writeFileSync(file, Buffer.alloc(24));
	return {library, file, [Symbol.dispose]: dispose};
}

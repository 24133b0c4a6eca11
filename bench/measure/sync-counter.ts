import {execFileSync} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {FOLDER} from '../plan/folder.ts';
import type {Surroundings} from '../plan/suite.ts';

/** Compiles the library that counts fsyncs in a file when it is preloaded. Without a C compiler there is no `counter`. */
export function compileSyncCounter(): Pick<Surroundings, 'counter'> & Disposable {
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
	return {counter: {library, file}, [Symbol.dispose]: dispose};
}

import {execFileSync} from 'node:child_process';
import {closeSync, fsyncSync, openSync, rmSync, writeSync} from 'node:fs';
import {arch, availableParallelism, cpus, release, totalmem, type} from 'node:os';
import {join} from 'node:path';
import Database from 'better-sqlite3';

/** The machine and the code of a run. The first line of its results contains them. */
export interface Machine {
	readonly processors: number;
	readonly model: string;
	readonly memoryGib: number;
	readonly system: string;
	readonly node: string;
	readonly sqlite: string;
	/** File system of the folder with the databases. */
	readonly fileSystem: string;
	/** Median time to append 4 KiB to a file in that folder and fsync it. */
	readonly fsyncMs: number;
	/** Short hash of the measured commit, with a plus if the code has uncommitted changes. */
	readonly commit: string;
}

export function describeMachine(folder: string): Machine {
	return {
		processors: availableParallelism(),
		model: cpus()[0]?.model.trim() ?? 'unknown',
		memoryGib: Math.round(totalmem() / 2 ** 30),
		system: `${type()} ${release()} ${arch()}`,
		node: process.versions.node,
		sqlite: sqliteVersion(),
		fileSystem: fileSystemOf(folder),
		fsyncMs: fsyncMs(folder),
		commit: commit(),
	};
}

function sqliteVersion(): string {
	const database = new Database(':memory:');
	const version = database.prepare('select sqlite_version()').pluck().get() as string;
	database.close();
	return version;
}

function fileSystemOf(folder: string): string {
	return printed('stat', '-f', '-c', '%T', folder) ?? 'unknown';
}

function commit(): string {
	const sha = printed('git', 'rev-parse', '--short', 'HEAD');
	if (sha === undefined) return 'unknown';
	return printed('git', 'status', '--porcelain', '--untracked-files=no', 'lib', 'workers', 'bench') ? `${sha}+` : sha;
}

function printed(command: string, ...words: string[]): string | undefined {
	try {
		return execFileSync(command, words, {encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore']}).trim();
	} catch {
		return undefined;
	}
}

/** Median time to append 4 KiB to a file in the folder and fsync it. A commit can't be faster. */
export function fsyncMs(folder: string, times = 200): number {
	const path = join(folder, `.fsync-${process.pid}`);
	const file = openSync(path, 'w');
	const block = Buffer.alloc(4096, 1);
	try {
		const taken = Array.from({length: times}, () => {
			const start = performance.now();
			writeSync(file, block);
			fsyncSync(file);
			return performance.now() - start;
		}).sort((a, b) => a - b);
		return taken[times >> 1] as number;
	} finally {
		closeSync(file);
		rmSync(path);
	}
}

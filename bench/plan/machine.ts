import {execFileSync} from 'node:child_process';
import {closeSync, fsyncSync, openSync, rmSync, writeSync} from 'node:fs';
import {arch, availableParallelism, cpus, release, totalmem, type} from 'node:os';
import {join} from 'node:path';
import Database from 'better-sqlite3';

/** The first line of the results: on what they were measured. */
export interface Machine {
	readonly processors: number;
	readonly model: string;
	readonly memoryGib: number;
	readonly system: string;
	readonly node: string;
	readonly sqlite: string;
	/** Of the folder with the databases: the median time to append 4 KiB to a file and fsync it. */
	readonly fileSystem: string;
	readonly fsyncMs: number;
	/** Of the code that is measured; with a plus where it was changed since. */
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

/** What one commit cannot go below here. */
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

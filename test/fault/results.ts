import {execFileSync} from 'node:child_process';
import {appendFileSync} from 'node:fs';
import {availableParallelism, cpus} from 'node:os';
import {fileURLToPath} from 'node:url';

/** Prints what a part of a long run came to, as a line of JSON, and adds the line to a file. The lines under `test/fault/results/` are of this kind. */
export function keep(file: string, result: object): void {
	const line = JSON.stringify({...result, ...WHERE});
	console.log(line);
	appendFileSync(file, `${line}\n`);
}

const WHERE = {
	commit: commit(),
	machine: `${availableParallelism()} × ${cpus()[0]?.model.trim() ?? 'unknown processor'}, Node ${process.versions.node}`,
};

function commit(): string | undefined {
	try {
		return execFileSync('git', ['describe', '--always', '--dirty'], {cwd: fileURLToPath(new URL('.', import.meta.url)), encoding: 'utf8'}).trim();
	} catch {
		return undefined; // Not a checkout.
	}
}

/** The flags of an engine: options of `open()` under the names of the command line. */

import {availableParallelism} from 'node:os';
import {type Command, InvalidArgumentError, Option} from 'commander';
import type {OpenOptions} from '../../index.ts';
import {defined} from '../../internal/words.ts';
import {partsOf, toCount, toDuration, toSize} from './flag-values.ts';

/** Flags that are options of `open()` under the same names. */
const SAME = [
	...(['queue', 'workers', 'isolation', 'durability', 'drain', 'grace', 'lease', 'nice', 'retention', 'recycle'] as const),
	...(['maxValue', 'maxCheckpoint', 'minFreeMemory', 'postMortem'] as const),
];

export interface EngineFlags extends Pick<OpenOptions, (typeof SAME)[number]> {
	readonly queue: string;
	readonly blobs?: number;
}

const toParts = partsOf({jobs: toCount, age: toDuration, memory: toSize});
const toRetention = partsOf({completed: toDuration, dead: toDuration, cancelled: toDuration, batches: toDuration});

export function addEngineFlags(command: Command): Command {
	return command
		.option('--queue <file>', 'SQLite file or PostgreSQL URL of the jobs; created if it does not exist', 'faena.db')
		.option('-j, --workers <n>', 'jobs at the same time, each with memory of its own: a number, or of the processors 80%, +1 or -1 (default: 100%)', toWorkers)
		.addOption(new Option('--isolation <how>', 'run tasks in threads or in child processes').choices(['thread', 'process']).default('thread'))
		.option('--drain <time>', 'how long to let running jobs finish at the end (default: 25s)', toDuration)
		.option('--grace <time>', 'how long a job may go on after it is told to stop (default: 2s)', toDuration)
		.option('--lease <time>', 'after this time without a sign of life others take the jobs; the same for all on a queue (default: 30s)', toDuration)
		.addOption(new Option('--durability <what>', 'what a commit survives: full, a loss of power; normal, a crash').choices(['full', 'normal']).default('full'))
		.option('--max-value <size>', 'the most that a payload or result may take (default: 16mib)', toSize)
		.option('--max-checkpoint <size>', 'the most that a checkpoint may take (default: 1mib)', toSize)
		.option('--post-mortem', 'keep the stack of a task that is stopped by its timeout, with its error')
		.option('--min-free-memory <size>', 'start no other job while less memory is free, for instance 512mib (default: none)', toSize)
		.option('--recycle <limits>', 'replace a worker after jobs, time or memory, for instance jobs=1000,age=1h,memory=1gib', toParts)
		.option('--retention <times>', 'delete ended jobs, for instance completed=7d,dead=30d,cancelled=7d,batches=30d (default: never)', toRetention)
		.option('--blobs <size>', 'keep results larger than this in files of their own, for instance 1mib (default: never)', toSize)
		.option('--nice <n>', 'priority of the workers for the system, from -20 (first) to 19 (last)', toNice);
}

/** As GNU parallel's `-j`: a number, a share of the processors, or so many more or fewer than them. At least 1. */
export function toWorkers(text: string): number {
	const processors = availableParallelism();
	const [, sign = '', digits = '', percent] = /^([+-]?)(\d{1,5})(%?)$/.exec(text) ?? [];
	const number = Number(digits);
	if (digits === '' || (percent && sign !== '') || (number === 0 && sign === ''))
		throw new InvalidArgumentError('It is a whole number from 1, a share of the processors such as 80%, or +1 or -1 for one more or fewer than them.');
	if (percent) return Math.max(1, Math.round((processors * number) / 100));
	return sign === '' ? number : Math.max(1, processors + (sign === '-' ? -number : number));
}

function toNice(text: string): number {
	if (/^(-?1?\d|-20)$/.test(text)) return Number(text);
	throw new InvalidArgumentError('It is a whole number from -20 (first) to 19 (last).');
}

export function toOpenOptions({blobs: threshold, ...flags}: EngineFlags): OpenOptions {
	const same = Object.fromEntries(SAME.map(name => [name, flags[name]]));
	return defined({...same, blobs: threshold === undefined ? undefined : {threshold}}) as unknown as OpenOptions;
}

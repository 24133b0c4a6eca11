/**
 * Starts `true` again and again, two at a time: by `ctx.exec()`, by `faena map --sh`, by a loop around Node's `spawn()`, by `xargs`, and by GNU
 * parallel if it is there. `node bench/commands.ts [COMMANDS] [ROUNDS]`, by default 1,000 and 5, prints the median rate, and the processor time of a command with
 * that of all processes around it. Each way runs in a process of its own, once with two commands and once with all: the difference counts, so
 * that no start of a program does.
 */
import {spawn} from 'node:child_process';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {open} from '../lib/index.ts';
import {median} from './analyse/statistics.ts';
import {FAENA, isInstalled, run} from './command-line/program.ts';
import {moduleUrl} from './measure/module-url.ts';

const AT_ONCE = 2;
const COMMAND = 'true';
const own = (way: string) => (commands: number) => [process.execPath, fileURLToPath(import.meta.url), way, String(commands)];
const through = (command: string) => (commands: number) => ['sh', '-c', `seq ${commands} | ${command}`];

const runQuietly = (words: readonly string[]) => run(words, {file: '/dev/null'});
const folder = mkdtempSync(join(tmpdir(), 'faena-bench-'));
let queues = 0;
const byMap = (commands: number) => {
	const queue = join(folder, `${queues++}.db`);
	return [...FAENA, 'map', '--quiet', '-j', String(AT_ONCE), '--queue', queue, '--sh', COMMAND, '--range', `1..${commands}`];
};

const WAYS: Readonly<Record<string, (commands: number) => readonly string[]>> = {
	'ctx.exec()': own('exec'),
	'faena map --sh': byMap,
	"Node's spawn()": own('spawn'),
	[`xargs -P${AT_ONCE}`]: through(`xargs -P${AT_ONCE} -n1 ${COMMAND}`),
	...(isInstalled('parallel') && {[`parallel -j${AT_ONCE}`]: through(`parallel -j${AT_ONCE} ${COMMAND}`)}),
};

const [way = '1000', count = '5'] = process.argv.slice(2);
if (way === 'exec') await startByFaena(Number(count));
else if (way === 'spawn') await startByNode(Number(count));
else await compare(Number(way), Number(count));
rmSync(folder, {recursive: true});

async function compare(commands: number, rounds: number): Promise<void> {
	const found = new Map(Object.keys(WAYS).map(name => [name, [] as {readonly seconds: number; readonly cpuSeconds: number}[]]));
	for (let round = 0; round < rounds; round++) {
		for (const [name, argsFor] of Object.entries(WAYS)) {
			const [few, all] = [await runQuietly(argsFor(AT_ONCE)), await runQuietly(argsFor(commands))];
			const each = (cost: 'seconds' | 'cpuSeconds') => (all[cost] - few[cost]) / (commands - AT_ONCE);
			found.get(name)?.push({seconds: each('seconds'), cpuSeconds: each('cpuSeconds')});
		}
	}
	for (const [name, costs] of found) {
		const rate = median(costs.map(({seconds}) => 1 / seconds));
		const cpuMs = median(costs.map(({cpuSeconds}) => 1000 * cpuSeconds));
		console.log(`${name.padEnd(16)} ${Math.round(rate).toString().padStart(5)} commands/s  ${cpuMs.toFixed(2)} ms of CPU each`);
	}
}

async function startByFaena(commands: number): Promise<void> {
	const faena = await open<typeof import('./measure/command-tasks.ts')>({
		queue: join(folder, 'jobs.db'),
		tasks: moduleUrl('measure/command-tasks'),
		workers: AT_ONCE,
	});
	const names = Array.from({length: commands}, () => COMMAND);
	for await (const {status} of faena.map('start', names)) if (status !== 'completed') throw new Error(`A job is ${status}: void`);
	await faena.close();
}

async function startByNode(commands: number): Promise<void> {
	let left = commands;
	const loop = async () => {
		while (left-- > 0) await new Promise(resolve => void spawn(COMMAND, [], {stdio: ['ignore', 'pipe', 'pipe']}).once('close', resolve));
	};
	await Promise.all(Array.from({length: AT_ONCE}, loop));
}

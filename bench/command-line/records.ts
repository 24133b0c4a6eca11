/**
 * Sends NDJSON records through a task that parses and hashes them, by `faena map --ndjson --key id`. Then does so again, with three SIGKILLs on the way.
 * `node bench/command-line/records.ts [RECORDS]`, by default 1,000,000, prints the rate, the memory as it goes, and what the kills have done.
 */
import {once} from 'node:events';
import {createReadStream, createWriteStream, mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {openQueue} from '../../lib/queue.ts';
import {moduleUrl} from '../measure/module-url.ts';
import {FAENA, run, start, summaryOf} from './program.ts';

const records = Number(process.argv[2] ?? 1_000_000);
const folder = mkdtempSync(join(tmpdir(), 'faena-bench-'));
await writeRecords();
await runOnce();
await killThrice();
rmSync(folder, {recursive: true});

async function writeRecords(): Promise<void> {
	const stream = createWriteStream(join(folder, 'records'));
	for (let id = 0; id < records; id++) {
		const text = JSON.stringify({name: `name ${id * 7919}`, tags: ['blue', 'green', `t${id % 97}`]});
		if (!stream.write(`${JSON.stringify({id, text})}\n`)) await once(stream, 'drain');
	}
	stream.end();
	await once(stream, 'close');
}

function words(queue: string): readonly string[] {
	const task = `${fileURLToPath(moduleUrl('command-line/tasks'))}#hash`;
	return [...FAENA, 'map', task, '--ndjson', '-a', 'records', '--key', 'id', '--queue', queue];
}

async function runOnce(): Promise<void> {
	// The shell becomes the program, and leaves its pid.
	const running = run(['sh', '-c', 'echo $$ > pid; exec "$@"', 'sh', ...words('once.db')], {cwd: folder, file: join(folder, 'once')});
	const memory: number[] = [];
	const timer = setInterval(() => memory.push(memoryOf('pid')), 250);
	const ran = await running;
	clearInterval(timer);
	await check('once');
	const quarters = [1, 2, 3, 4].map(quarter => memory[Math.floor((quarter * memory.length) / 4) - 2]?.toFixed(0));
	const rate = Math.round(records / ran.seconds / 1000);
	console.log(`${rate} k records/s, ${ran.cpuSeconds.toFixed(1)} s of CPU; memory after each quarter: ${quarters.join(', ')} MB`);
	console.log(summaryOf(ran));
}

/** In megabytes. */
function memoryOf(pidFile: string): number {
	const pid = readFileSync(join(folder, pidFile), 'utf8').trim();
	return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
}

async function killThrice(): Promise<void> {
	const queue = join(folder, 'killed.db');
	for (let kill = 1; kill <= 3; kill++) {
		const program = start(words('killed.db'), folder);
		while ((await countCompleted(queue)) < (kill * records) / 4) await sleep(50);
		program.kill('SIGKILL');
		await once(program, 'exit');
	}
	const before = await countCompleted(queue);
	const ran = await run(words('killed.db'), {cwd: folder, file: join(folder, 'killed')});
	await check('killed');
	console.log(`Killed 3 times, the last time after ${before} records; the last run took ${ran.seconds.toFixed(1)} s: ${summaryOf(ran)}`);
}

async function countCompleted(queue: string): Promise<number> {
	try {
		const opened = await openQueue(queue, {readOnly: true});
		const {completed} = await opened.counts();
		await opened.close();
		return completed;
	} catch {
		// It is not there yet.
		return 0;
	}
}

/** @throws Error unless there is one result for each record */
async function check(output: string): Promise<void> {
	const seen = new Uint8Array(records);
	let lines = 0;
	for await (const line of createInterface({input: createReadStream(join(folder, output))})) {
		const {status, result} = JSON.parse(line) as {status: string; result: {id: number}};
		if (status !== 'completed') throw new Error(line);
		seen[result.id] = 1;
		lines++;
	}
	const unique = seen.reduce((sum, each) => sum + each, 0);
	if (lines !== records || unique !== records) throw new Error(`${output} has ${lines} lines with ${unique} of ${records} records.`);
}

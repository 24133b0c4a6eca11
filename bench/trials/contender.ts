/**
 * A contender: one of several processes or threads that claim from a store together. In each round it claims jobs, and with
 * `vary.completes` completes them, until no job is ready or the time is over. It ends with its parent.
 */
import {parentPort, workerData} from 'node:worker_threads';
import {sharedMs} from '../measure/clock.ts';
import {loadStore} from '../stores/index.ts';
import type {Contention, Round, Taken} from './contention-round.ts';

const {given, address} = (parentPort ? workerData : JSON.parse(process.argv[2] as string)) as Contention;
const {batch = 1, completes = 0, contenders = 1} = given.vary ?? {};
const contender = await (await loadStore(given.subject)).connect(address, given);

async function take({until}: Round): Promise<Taken> {
	const numbers: number[] = [];
	const claimMs: number[] = [];
	const completeMs: number[] = [];
	const cpu = cpuMicros();
	const from = sharedMs();
	let to = from;
	while (to < until) {
		const claimed = await contender.claim(batch);
		const claimedAt = sharedMs();
		if (claimed.numbers.length === 0) break;
		for (const number of claimed.numbers) numbers.push(number);
		claimMs.push(claimedAt - to);
		to = claimedAt;
		if (completes === 0) continue;
		await contender.complete(claimed);
		to = sharedMs();
		completeMs.push(to - claimedAt);
	}
	const lists = {numbers: Float64Array.from(numbers), claimMs: Float64Array.from(claimMs), completeMs: Float64Array.from(completeMs)};
	return {...lists, from, to, cpuMicros: cpuMicros() - cpu};
}

/** CPU time of this process, or of this thread. Node 22 can't tell that of a thread: there it is an equal share of the process's. */
function cpuMicros(): number {
	if (parentPort && process.threadCpuUsage) return sumOf(process.threadCpuUsage());
	return sumOf(process.cpuUsage()) / (parentPort ? contenders : 1);
}

function sumOf({user, system}: NodeJS.CpuUsage): number {
	return user + system;
}

const answer = parentPort ? (message: unknown) => parentPort?.postMessage(message) : (message: unknown) => void process.send?.(message as Taken);
(parentPort ?? process).on('message', async (round: Round) => answer(await take(round)));
process.once('disconnect', () => void contender.close().then(() => process.exit(0)));
// Ctrl-C in a terminal reaches all processes. The parent decides when this one ends.
if (!parentPort) process.on('SIGINT', () => {});
answer('ready');

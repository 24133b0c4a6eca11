/**
 * One of those that claim from a store together, in a process or a thread of its own. In each round it claims, and completes where that is
 * asked for, until no job is ready or the time is over. It ends with its parent.
 */
import {parentPort, workerData} from 'node:worker_threads';
import {loadStore} from '../stores/index.ts';
import {type Contention, monotonicMs, type Round, type Taken} from './contention-round.ts';

const {given, address} = (parentPort ? workerData : JSON.parse(process.argv[2] as string)) as Contention;
const {batch = 1, completes = 0} = given.vary ?? {};
const contender = await (await loadStore(given.subject)).connect(address, given);

async function take({until}: Round): Promise<Taken> {
	const numbers: number[] = [];
	const claimMs: number[] = [];
	const completeMs: number[] = [];
	const cpu = cpuMicros();
	const from = monotonicMs();
	let to = from;
	while (to < until) {
		const claimed = await contender.claim(batch);
		const claimedAt = monotonicMs();
		if (claimed.numbers.length === 0) break;
		for (const number of claimed.numbers) numbers.push(number);
		claimMs.push(claimedAt - to);
		to = claimedAt;
		if (completes === 0) continue;
		await contender.complete(claimed);
		to = monotonicMs();
		completeMs.push(to - claimedAt);
	}
	const [allNumbers, allClaims, allCompletes] = [numbers, claimMs, completeMs].map(list => Float64Array.from(list)) as [
		Float64Array,
		Float64Array,
		Float64Array,
	];
	return {numbers: allNumbers, claimMs: allClaims, completeMs: allCompletes, from, to, cpuMicros: cpuMicros() - cpu};
}

/** Of the whole process, or of this thread where it is one of several. */
function cpuMicros(): number {
	const {user, system} = parentPort ? process.threadCpuUsage() : process.cpuUsage();
	return user + system;
}

const answer = parentPort ? (message: unknown) => parentPort?.postMessage(message) : (message: unknown) => void process.send?.(message as Taken);
(parentPort ?? process).on('message', async (round: Round) => answer(await take(round)));
process.once('disconnect', () => void contender.close().then(() => process.exit(0)));
// Ctrl-C in a terminal reaches all processes: the parent decides.
if (!parentPort) process.on('SIGINT', () => {});
answer('ready');

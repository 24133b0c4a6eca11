/** `main.ts [JOBS]`: counts the primes below JOBS × 10,000, on whatever machines have workers. It runs no job itself. */
import {open} from 'faena';

const jobs = Number(process.argv[2] ?? 200);
const size = 10_000;
const ranges = Array.from({length: jobs}, (_, index) => ({from: index * size, to: (index + 1) * size}));

const faena = await open<typeof import('./tasks.ts')>({queue: process.env['DATABASE_URL'] ?? 'postgres://'});
let [primes, reused] = [0, 0];
for await (const item of faena.map('countPrimes', ranges, {batch: `primes below ${jobs * size}`})) {
	if (item.status !== 'completed') throw item.error;
	primes += item.result;
	if (item.reused) reused++;
}
console.log(`${primes} primes below ${jobs * size}; ${reused} of ${jobs} results are from an earlier run`);
await faena.close();

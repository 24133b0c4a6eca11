import {task} from 'faena';

/** Counts the primes below a number: some milliseconds of CPU for 100,000. */
export const countPrimes = task(
	({below}: {readonly below: number}, ctx): number => {
		const isComposite = new Uint8Array(below);
		let count = 0;
		for (let n = 2; n < below; n++) {
			if (n % 100_000 === 0) ctx.progress(n, below);
			if (isComposite[n]) continue;
			count++;
			for (let multiple = n * n; multiple < below; multiple += n) isComposite[multiple] = 1;
		}
		return count;
	},
	{timeout: '30s', maxPending: 1000},
);

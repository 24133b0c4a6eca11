/** Computes for a moment, and returns its number. */
export function burn(number: number): number {
	for (const end = performance.now() + 0.2; performance.now() < end; );
	return number;
}

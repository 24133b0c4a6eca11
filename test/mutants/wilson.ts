/** The 95 % interval of a share, by Wilson's score. */
export function wilson(successes: number, trials: number): readonly [low: number, high: number] {
	const z = 1.96;
	const share = successes / trials;
	const scale = 1 + z ** 2 / trials;
	const center = (share + z ** 2 / (2 * trials)) / scale;
	const margin = (z / scale) * Math.sqrt((share * (1 - share)) / trials + z ** 2 / (4 * trials ** 2));
	return [Math.max(0, center - margin), Math.min(1, center + margin)];
}

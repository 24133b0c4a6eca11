import {uniformFloat64} from 'pure-rand/distribution/uniformFloat64';
import {uniformInt} from 'pure-rand/distribution/uniformInt';
import {xoroshiro128plus} from 'pure-rand/generator/xoroshiro128plus';

/** Random numbers. The same seed gives the same numbers. */
export interface Chance {
	/** A number in [0, 1). */
	real(): number;
	/** A whole number, at least 0 and below `end`. */
	below(end: number): number;
}

export function chanceOf(seed: number): Chance {
	const generator = xoroshiro128plus(seed);
	return {real: () => uniformFloat64(generator), below: end => uniformInt(generator, 0, end - 1)};
}

export function shuffle<Each>(list: readonly Each[], {below}: Chance): Each[] {
	const shuffled = [...list];
	for (let index = shuffled.length - 1; index > 0; index--) {
		const other = below(index + 1);
		[shuffled[index], shuffled[other]] = [shuffled[other] as Each, shuffled[index] as Each];
	}
	return shuffled;
}

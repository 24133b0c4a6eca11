import {uniformFloat64} from 'pure-rand/distribution/uniformFloat64';
import {uniformInt} from 'pure-rand/distribution/uniformInt';
import {xoroshiro128plus} from 'pure-rand/generator/xoroshiro128plus';

/** All that happens by chance in a simulated world comes from here: the same seed makes the same world. */
export class Chance {
	readonly #generator: ReturnType<typeof xoroshiro128plus>;

	constructor(seed: number) {
		this.#generator = xoroshiro128plus(seed);
	}

	/** From 0 up to, but not, `end`. */
	int(end: number): number {
		return uniformInt(this.#generator, 0, end - 1);
	}

	/** In [0, 1). */
	share(): number {
		return uniformFloat64(this.#generator);
	}

	is(probability: number): boolean {
		return this.share() < probability;
	}

	/** Mostly short, seldom up to `mostMs`. */
	ms(mostMs: number): number {
		return Math.round(mostMs * this.share() ** 4 * 1000) / 1000;
	}

	pick<Value>(values: readonly Value[]): Value {
		return values[this.int(values.length)] as Value;
	}

	/** By weight. */
	weighted<Name extends string>(weights: Readonly<Record<Name, number>>): Name {
		const entries = Object.entries(weights) as [Name, number][];
		let left = this.share() * entries.reduce((sum, [, weight]) => sum + weight, 0);
		for (const [name, weight] of entries) {
			left -= weight;
			if (left < 0) return name;
		}
		return entries[0]?.[0] as Name;
	}
}

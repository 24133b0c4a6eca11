/** The values of an item: one of each input. */
export type Tuple = readonly unknown[];

/** The values of an input: all at once, as often as wanted, or a stream of them, some at a time. */
export type Values = Iterable<unknown> | AsyncIterable<readonly unknown[]>;

/**
 * Each combination of values of the groups, in the order of GNU parallel: the last group changes the fastest. Inputs within a group are linked, up to
 * the end of the shortest. The first input is a stream, of any length. The others are needed again and again, so they are held in memory.
 */
export async function* combinations([first = [], ...others]: readonly (readonly Values[])[]): AsyncGenerator<Iterable<Tuple>> {
	const [leading = [], ...linked] = first;
	const inStep: Iterable<unknown>[] = [];
	for (const values of linked) inStep.push(await load(values));
	const rest: Iterable<Tuple>[] = [];
	for (const group of others) rest.push(zip(await Promise.all(group.map(load))));
	for await (const tuples of link(leading, inStep)) yield rest.length === 0 ? tuples : product(tuples, rest);
}

async function load(values: Values): Promise<Iterable<unknown>> {
	if (!(Symbol.asyncIterator in values)) return values;
	const all: unknown[] = [];
	for await (const some of values) for (const value of some) all.push(value);
	return all;
}

/** It can be iterated again and again, if the iterables can. */
function zip(iterables: readonly Iterable<unknown>[]): Iterable<Tuple> {
	return {
		*[Symbol.iterator]() {
			const iterators = iterables.map(each => each[Symbol.iterator]());
			for (let tuple = nextOf(iterators); tuple; tuple = nextOf(iterators)) yield tuple;
		},
	};
}

/** `undefined` once one of them has ended. */
function nextOf(iterators: readonly Iterator<unknown>[]): Tuple | undefined {
	const steps = iterators.map(each => each.next());
	return steps.some(({done}) => done) ? undefined : steps.map(({value}) => value);
}

async function* link(leading: Values, others: readonly Iterable<unknown>[]): AsyncGenerator<Iterable<Tuple>> {
	const iterators = others.map(each => each[Symbol.iterator]());
	let hasEnded = false;
	function* withOthers(values: Iterable<unknown>): Generator<Tuple> {
		for (const value of values) {
			const more = nextOf(iterators);
			hasEnded ||= more === undefined;
			if (!more) return;
			yield [value, ...more];
		}
	}
	if (!(Symbol.asyncIterator in leading)) yield withOthers(leading);
	else {
		for await (const values of leading) {
			yield withOthers(values);
			if (hasEnded) return;
		}
	}
}

function* product(tuples: Iterable<Tuple>, [next, ...others]: readonly Iterable<Tuple>[]): Generator<Tuple> {
	if (!next) yield* tuples;
	else for (const tuple of tuples) for (const more of product(next, others)) yield [...tuple, ...more];
}

/**
 * The minimum effective task granularity (Slaughter et al., Task Bench, SC'20): the smallest job at which an engine still
 * spends such a share of its time on the jobs themselves. Measured where the curve of efficiency over work crosses that
 * share; elsewhere derived, or only bounded.
 */
export interface Metg {
	readonly kind:
		| 'measured'
		/** The curve stays below within what was measured; this follows from the CPU that a job takes besides its work. */
		| 'derived'
		/** The smallest job that was measured is efficient enough: it is that or less. */
		| 'below'
		/** It stays below, and nothing to derive it from is known: it is more. */
		| 'above';
	readonly workMicros: number;
}

export interface Point {
	readonly workMicros: number;
	/** Between 0 and 1. */
	readonly efficiency: number;
	/** CPU microseconds of a job besides its work. */
	readonly overheadMicros?: number | undefined;
}

/**
 * The work from which on all larger jobs that were measured are efficient enough, too: where noise makes the curve cross more than once, the
 * last time counts. Between two points the curve is taken as straight over the logarithm of the work.
 */
export function metg(curve: readonly Point[], efficiency: number): Metg | undefined {
	const points = curve.toSorted((one, other) => one.workMicros - other.workMicros);
	const [first, last] = [points[0], points.at(-1)];
	if (!first || !last) return undefined;
	if (last.efficiency < efficiency) return derive(last, efficiency);
	const before = points.findLastIndex(point => point.efficiency < efficiency);
	if (before < 0) return {kind: 'below', workMicros: first.workMicros};
	return {kind: 'measured', workMicros: cross(points[before] as Point, points[before + 1] as Point, efficiency)};
}

function cross(left: Point, right: Point, efficiency: number): number {
	const share = (efficiency - left.efficiency) / (right.efficiency - left.efficiency);
	return left.workMicros * (right.workMicros / left.workMicros) ** share;
}

/** If each job costs h besides its work w, its efficiency is w / (w + h). */
function derive({workMicros, overheadMicros: overhead = 0}: Point, efficiency: number): Metg {
	const derived = (overhead * efficiency) / (1 - efficiency);
	// Less than what was measured would contradict it: processors idled, which CPU time doesn't show.
	return derived > workMicros ? {kind: 'derived', workMicros: derived} : {kind: 'above', workMicros};
}

/**
 * The minimum effective task granularity (Slaughter et al., Task Bench, SC'20): the smallest job at which an engine still spends a
 * given share of its time on the jobs themselves. It is measured if the curve of efficiency over work crosses this share; otherwise
 * it is derived, or only bounded.
 */
export interface Metg {
	readonly kind:
		| 'measured'
		/** The curve stays below the share. METG follows from the CPU time that a job takes beside its work. */
		| 'derived'
		/** The smallest measured job is efficient enough: METG is at most its work. */
		| 'below'
		/** The curve stays below the share, and CPU time doesn't explain why. METG is above the largest measured work. */
		| 'above';
	readonly workMicros: number;
}

export interface Point {
	readonly workMicros: number;
	/** Between 0 and 1. */
	readonly efficiency: number;
	/** CPU microseconds of a job beside its work. */
	readonly overheadMicros?: number | undefined;
}

/**
 * Finds where the curve reaches an efficiency. A larger job can't be less efficient, so isotonic regression first makes the curve
 * rise: it averages noise, so that no single dip or peak decides. Between two points the curve is a straight line over the logarithm
 * of the work.
 */
export function metg(curve: readonly Point[], efficiency: number): Metg | undefined {
	const points = rising(curve.toSorted((one, other) => one.workMicros - other.workMicros));
	const [first, last] = [points[0], points.at(-1)];
	if (!first || !last) return undefined;
	if (last.efficiency < efficiency) return derive(last, efficiency);
	const reached = points.findIndex(point => point.efficiency >= efficiency);
	if (reached === 0) return {kind: 'below', workMicros: first.workMicros};
	return {kind: 'measured', workMicros: cross(points[reached - 1] as Point, points[reached] as Point, efficiency)};
}

/** Isotonic regression: pools neighbours that fall, until none does (Ayer et al. 1955). */
function rising(points: readonly Point[]): Point[] {
	const pools: Point[][] = [];
	for (const point of points) {
		pools.push([point]);
		while (pools.length > 1 && mean(pools.at(-2) as Point[]) > mean(pools.at(-1) as Point[])) pools.push([...pools.splice(-2)].flat());
	}
	return pools.flatMap(pool => pool.map(point => ({...point, efficiency: mean(pool)})));
}

function mean(pool: readonly Point[]): number {
	return pool.reduce((sum, {efficiency}) => sum + efficiency, 0) / pool.length;
}

function cross(left: Point, right: Point, efficiency: number): number {
	const share = (efficiency - left.efficiency) / (right.efficiency - left.efficiency);
	return left.workMicros * (right.workMicros / left.workMicros) ** share;
}

/** If each job costs h beside its work w, its efficiency is w / (w + h). */
function derive({workMicros, overheadMicros: overhead = 0}: Point, efficiency: number): Metg {
	const derived = (overhead * efficiency) / (1 - efficiency);
	// A smaller value would contradict the measurement. The processors idled, which CPU time doesn't show.
	return derived > workMicros ? {kind: 'derived', workMicros: derived} : {kind: 'above', workMicros};
}

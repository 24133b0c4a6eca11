import {levenbergMarquardt} from 'ml-levenberg-marquardt';
import type {Chance} from '../plan/chance.ts';
import {type Interval, intervalAround} from './statistics.ts';

/** The measured rate of `n` producers, processes or workers in one block. */
export interface UslPoint {
	readonly n: number;
	readonly perSecond: number;
	readonly block: number;
}

/**
 * The Universal Scalability Law (Gunther 1993): X(N) = λN / (1 + σ(N − 1) + κN(N − 1)). λ is the rate of one alone, σ the share of
 * the work that can't run in parallel, κ the cost of coordination between each two.
 */
export interface UslFit {
	readonly lambda: Interval;
	readonly sigma: Interval;
	readonly kappa: Interval;
	/** The N with the highest rate: √((1 − σ) / κ), or infinite if κ is not above 0. */
	readonly peak: number;
	/** Error of the fit at each N: the mean of the measured rates divided by the fitted rate, minus 1. */
	readonly residuals: readonly (readonly [n: number, share: number])[];
}

export interface UslRefusal {
	readonly refused: string;
}

/** Three parameters need more than three points. Points beyond the number of processors don't count: they show the scheduler. */
const MIN_POINTS = 6;
const RESAMPLES = 500;

/** Fits by non-linear least squares. Intervals are by bootstrap over whole blocks, because a disturbance usually affects a whole block. */
export function fitUsl(points: readonly UslPoint[], processors: number, chance: Chance): UslFit | UslRefusal {
	const usable = points.filter(({n}) => n <= processors);
	const different = new Set(usable.map(({n}) => n)).size;
	if (different < MIN_POINTS) {
		const needed = `at least ${MIN_POINTS} different numbers that are not above the number of processors`;
		return {refused: `The Universal Scalability Law can't be fitted. That needs ${needed} (${processors}); this run has ${different}.`};
	}
	const fit = fitOnce(usable);
	const blocks = [...Map.groupBy(usable, ({block}) => block).values()];
	const draws = Array.from({length: RESAMPLES}, () => fitOnce(blocks.flatMap(() => blocks[chance.below(blocks.length)] as UslPoint[])));
	const interval = (parameter: keyof Parameters) =>
		intervalAround(
			fit[parameter],
			draws.map(draw => draw[parameter]),
			blocks.length,
		);
	return {
		...{lambda: interval('lambda'), sigma: interval('sigma'), kappa: interval('kappa')},
		peak: fit.kappa > 0 ? Math.sqrt(Math.max(0, 1 - fit.sigma) / fit.kappa) : Infinity,
		residuals: [...Map.groupBy(usable, ({n}) => n)].sort(([one], [other]) => one - other).map(([n, own]) => [n, meanRate(own) / rateAt(fit, n) - 1]),
	};
}

interface Parameters {
	readonly lambda: number;
	readonly sigma: number;
	readonly kappa: number;
}

export function rateAt({lambda, sigma, kappa}: Parameters, n: number): number {
	return (lambda * n) / (1 + sigma * (n - 1) + kappa * n * (n - 1));
}

/** More than the method needs from these initial values. It doesn't notice that it has converged. */
const ITERATIONS = 60;

/**
 * Fits without bounds: if there is no contention, noise must be able to make σ and κ negative, or their intervals could not contain
 * 0. Rates are divided by the rate of one, because the method's steps suit parameters of that size. Each N is one point, the mean of
 * its blocks, so that an N with discarded measurements counts as much as the others. Weights would do the same, but with them
 * ml-levenberg-marquardt 5.1.0 takes steps of a wrong length and hardly converges.
 */
function fitOnce(points: readonly UslPoint[]): Parameters {
	const byN = [...Map.groupBy(points, ({n}) => n)].sort(([one], [other]) => one - other);
	const [least, own] = byN[0] as [number, UslPoint[]];
	const unit = meanRate(own) / least;
	const {parameterValues} = levenbergMarquardt(
		{x: byN.map(([n]) => n), y: byN.map(([, same]) => meanRate(same) / unit)},
		([lambda = 1, sigma = 0, kappa = 0]) =>
			n =>
				rateAt({lambda, sigma, kappa}, n),
		{
			initialValues: [1, 0.05, 0.001],
			gradientDifference: 1e-6,
			centralDifference: true,
			maxIterations: ITERATIONS,
			errorTolerance: 1e-12,
			improvementThreshold: 0,
		},
	);
	const [lambda = Number.NaN, sigma = Number.NaN, kappa = Number.NaN] = parameterValues;
	return {lambda: lambda * unit, sigma, kappa};
}

function meanRate(points: readonly UslPoint[]): number {
	return points.reduce((sum, {perSecond}) => sum + perSecond, 0) / points.length;
}

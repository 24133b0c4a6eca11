import test from 'ava';
import {fitUsl, rateAt, type UslFit, type UslPoint} from '../../bench/analyse/usl.ts';
import {chanceOf} from '../../bench/plan/chance.ts';

/** Blocks of the same machine, each of which is a few percent off, and each measurement in it a little. */
function points(parameters: Parameters<typeof rateAt>[0], numbers: readonly number[], {seed = 1, noise = 0.01} = {}): UslPoint[] {
	const {real} = chanceOf(seed);
	const off = (share: number) => 1 + share * (real() - 0.5);
	return Array.from({length: 8}, (_, block) => ({block, slow: off(4 * noise)})).flatMap(({block, slow}) =>
		numbers.map(n => ({n, block, perSecond: rateAt(parameters, n) * slow * off(noise)})),
	);
}

function fitted(...given: Parameters<typeof points>): UslFit {
	const fit = fitUsl(points(...given), 16, chanceOf(2));
	if ('refused' in fit) throw new Error(fit.refused);
	return fit;
}

const NUMBERS = [1, 2, 4, 6, 8, 12, 16] as const;

for (const [sigma, kappa] of [
	[0.02, 0.0001],
	[0.05, 0.002],
	[0.3, 0.01],
] as const) {
	test(`the fit finds σ = ${sigma} and κ = ${kappa} again`, t => {
		const exact = fitted({lambda: 80_000, sigma, kappa}, NUMBERS, {noise: 0});
		t.true(Math.abs(exact.lambda.median / 80_000 - 1) < 1e-4);
		t.true(Math.abs(exact.sigma.median / sigma - 1) < 1e-2);
		t.true(Math.abs(exact.kappa.median / kappa - 1) < 1e-2);
		t.true(Math.abs(exact.peak / Math.sqrt((1 - sigma) / kappa) - 1) < 1e-2);
		for (const [, share] of exact.residuals) t.true(Math.abs(share) < 1e-4);
		const noisy = fitted({lambda: 80_000, sigma, kappa}, NUMBERS);
		t.true(Math.abs(noisy.sigma.median - sigma) < 0.01);
		t.true(Math.abs(noisy.kappa.median - kappa) < 0.001);
		for (const {low, median, high} of [noisy.lambda, noisy.sigma, noisy.kappa]) t.true(low <= median && median <= high && low < high);
	});
}

test('where more cost nothing the rate has no peak, or one far away', t => {
	const {sigma, peak} = fitted({lambda: 1000, sigma: 0, kappa: 0}, NUMBERS);
	t.true(Math.abs(sigma.median) < 0.01);
	t.true(peak > 64);
});

test('the fit is refused where fewer than six numbers are within the processors', t => {
	const many = points({lambda: 1000, sigma: 0.1, kappa: 0.01}, [1, 2, 3, 4, 8, 16]);
	t.deepEqual(fitUsl(many, 2, chanceOf(1)), {
		refused:
			"The Universal Scalability Law can't be fitted. That needs at least 6 different numbers that are not above the number of processors (2); this run has 2.",
	});
	t.true('refused' in fitUsl(many, 8, chanceOf(1)));
	t.false('refused' in fitUsl(many, 16, chanceOf(1)));
	t.true('refused' in fitUsl([], 64, chanceOf(1)));
});

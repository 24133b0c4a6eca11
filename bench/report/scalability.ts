import {contentionSeries, type Series, uslPoints} from '../analyse/contention-series.ts';
import {labelOf, laneName} from '../analyse/labels.ts';
import {show, showPercent} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import {fitUsl, type UslFit} from '../analyse/usl.ts';
import {chanceOf} from '../plan/chance.ts';
import {showInterval} from './columns.ts';
import {type Column, markdownTable} from './table.ts';

/** Fits the Universal Scalability Law to each series of the trial `contention`, or says why that is impossible. */
export function scalabilitySection(run: Run): string[] {
	const series = contentionSeries(run);
	if (series.length === 0) return [];
	const fits = series.map(each => ({series: each, fit: fitUsl(uslPoints(each), run.machine.processors, chanceOf(run.seed))}));
	const fitted = fits.filter((each): each is Fitted => !('refused' in each.fit));
	const refusals = new Set(fits.flatMap(({fit}) => ('refused' in fit ? [fit.refused] : [])));
	return ['#### Scalability', ...(fitted.length > 0 ? [markdownTable(COLUMNS, fitted)] : []), ...refusals];
}

interface Fitted {
	readonly series: Series;
	readonly fit: UslFit;
}

const COLUMNS: readonly Column<Fitted>[] = [
	{title: '', isText: true, cell: ({series}) => labelOf(series.subject)},
	{title: 'more', isText: true, cell: ({series}) => series.kind},
	{title: 'of', isText: true, cell: ({series}) => series.label},
	{title: 'lane', isText: true, cell: ({series}) => laneName(series)},
	{title: 'λ, jobs/s of one', cell: ({fit}) => showInterval(fit.lambda)},
	{title: 'σ, contention', cell: ({fit}) => showInterval(fit.sigma)},
	{title: 'κ, coherency', cell: ({fit}) => showInterval(fit.kappa)},
	{title: 'peak at', cell: ({fit}) => (Number.isFinite(fit.peak) ? show(fit.peak) : 'none')},
	{title: 'residuals', isText: true, cell: ({fit}) => fit.residuals.map(([n, share]) => `${n}: ${showPercent(share)}`).join(', ')},
];

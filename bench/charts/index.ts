import type {TopLevelSpec} from 'vega-lite';
import type {Run} from '../analyse/run.ts';
import {contentionChart} from './contention.ts';
import {dequeueChart} from './dequeue.ts';
import {drainChart} from './drain.ts';
import {granularityChart} from './granularity.ts';
import {historyChart} from './history.ts';
import {latencyChart} from './latency.ts';

/** The chart of each trial; `undefined` if the run has no measurements of the trial. */
export const CHARTS: Readonly<Record<string, (run: Run) => TopLevelSpec | undefined>> = {
	granularity: granularityChart,
	drain: drainChart,
	latency: latencyChart,
	contention: contentionChart,
	dequeue: dequeueChart,
	history: historyChart,
};

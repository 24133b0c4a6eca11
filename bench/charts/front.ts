import type {Entry} from '../plan/suite.ts';

/** A chart that docs/speed.md shows, of the newest run of a plan. */
export interface FrontChart {
	readonly plan: string;
	/** The chart's name in `CHARTS`. */
	readonly name: string;
	/** What the chart shows, for readers who can't see it. */
	readonly alternative: string;
	/** Selects the entries to draw; by default all. */
	readonly of?: (entry: Entry) => boolean;
}

/** Two in a row. */
export const FRONT: readonly FrontChart[] = [
	{plan: 'full', name: 'granularity', alternative: 'How much of the processors’ time goes into the jobs’ own work, by the length of a job'},
	{plan: 'peers', name: 'drain', alternative: 'Jobs per second beside other queues, durable', of: ({durability}) => durability === 'full'},
	{plan: 'full', name: 'latency', alternative: 'Milliseconds from a job’s arrival until it is durable, has started, and has a durable result, at three loads'},
	{plan: 'full', name: 'contention', alternative: 'The rate with more producers, processes and workers on one file'},
];

export function frontFile({name}: FrontChart): string {
	return `front-${name}.svg`;
}

import {type CpuSplit, totalCpu} from '../plan/suite.ts';
import type {Figure} from './group.ts';
import type {Measured} from './run.ts';

/** Figures of every measurement, whatever its trial. */
export const rate = (entry: Measured): number => (jobsOf(entry) / entry.measurement.wallMs) * 1000;
export const wallMicrosPerJob = (entry: Measured): number => (entry.measurement.wallMs * 1000) / jobsOf(entry);
export const cpuMicrosPerJob = (entry: Measured): number => totalCpu(entry.measurement.cpu) / jobsOf(entry);

/** The part of these CPU microseconds that one role used. */
export function cpuMicrosOf(role: keyof CpuSplit): Figure {
	return entry => entry.measurement.cpu[role] / jobsOf(entry) || undefined;
}

export const transactionRate: Figure = ({measurement: {transactions, wallMs}}) => perSecond(transactions, wallMs);
export const fsyncRate: Figure = ({measurement: {fsyncs, wallMs}}) => perSecond(fsyncs, wallMs);

function perSecond(count: number | undefined, wallMs: number): number | undefined {
	return count === undefined ? undefined : (count / wallMs) * 1000;
}

export function jobsOf({jobs, measurement}: Pick<Measured, 'jobs' | 'measurement'>): number {
	return measurement.jobs ?? jobs;
}

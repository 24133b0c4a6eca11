import type {Figure} from './group.ts';
import {type CpuSplit, totalCpu} from './suite.ts';

/** What every measurement says, whatever its trial. */
export const rate: Figure = ({jobs, measurement}) => (jobs / measurement.wallMs) * 1000;
export const wallMicrosPerJob: Figure = ({jobs, measurement}) => (measurement.wallMs * 1000) / jobs;
export const cpuMicrosPerJob: Figure = ({jobs, measurement}) => totalCpu(measurement.cpu) / jobs;

/** Of that, what one of those burnt who share it. */
export function cpuMicrosOf(role: keyof CpuSplit): Figure {
	return ({jobs, measurement}) => measurement.cpu[role] / jobs || undefined;
}

export const transactionRate: Figure = ({measurement: {transactions, wallMs}}) => perSecond(transactions, wallMs);
export const fsyncRate: Figure = ({measurement: {fsyncs, wallMs}}) => perSecond(fsyncs, wallMs);

function perSecond(count: number | undefined, wallMs: number): number | undefined {
	return count === undefined ? undefined : (count / wallMs) * 1000;
}

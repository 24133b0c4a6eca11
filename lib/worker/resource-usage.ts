import {getHeapStatistics} from 'node:v8';
import type {Isolation} from '../job/task.ts';

/** What a worker uses of the machine, as far as Node tells. */
export interface ResourceUsage {
	/** Processor time so far; `undefined` for a thread before Node 23.9. */
	cpuMs(): number | undefined;
	/** A thread's heap, a process's memory. */
	usedBytes(): number;
	/** The highest memory that a process ever had. Of a thread the current heap, since its peak isn't known. */
	peakBytes(): number;
}

const heapBytes = () => getHeapStatistics().used_heap_size;

const OF_THREAD: ResourceUsage = {
	cpuMs: () => process.threadCpuUsage && toMs(process.threadCpuUsage()),
	usedBytes: heapBytes,
	peakBytes: heapBytes,
};

const OF_PROCESS: ResourceUsage = {
	cpuMs: () => toMs(process.cpuUsage()),
	usedBytes: () => process.memoryUsage.rss(),
	peakBytes: () => process.resourceUsage().maxRSS * 1024,
};

export const USAGE_OF: Readonly<Record<Isolation, ResourceUsage>> = {thread: OF_THREAD, process: OF_PROCESS, inline: {...OF_PROCESS, cpuMs: OF_THREAD.cpuMs}};

function toMs({user, system}: NodeJS.CpuUsage): number {
	return (user + system) / 1000;
}

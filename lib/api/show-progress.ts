import {bad} from '../job/checks.ts';
import {type MapStatus, showBar} from '../support/progress-bar.ts';
import {BatchHandle, type BatchInfo} from './batch-handle.ts';
import {JobMap} from './maps/map.ts';
import {isSignalled} from './signals.ts';

/** How often a batch is read. */
const LOOK_EVERY_MS = 500;

/**
 * Shows on stderr how far a map is, or a batch that any program runs: a bar on a terminal, elsewhere a line every 2 s. What the program prints
 * meanwhile goes above it.
 * @returns a function that draws the bar for the last time, and ends it; of a batch, once it has been read again
 * @throws FaenaError `BadOption`
 * @example
 * const map = faena.map('resize', files, {batch: 'nightly'});
 * const endBar = showProgress(map);
 * await map.toArray();
 * await endBar();
 */
export function showProgress(of: Pick<JobMap<unknown, unknown>, 'progress'> | BatchHandle): () => Promise<void> {
	if (of instanceof JobMap) {
		const endBar = showBar(() => statusOf(of));
		return async () => endBar();
	}
	if (!(of instanceof BatchHandle)) throw bad('showProgress() expects what map() or batch() returns');
	let info: BatchInfo | undefined;
	let isRead = false;
	const missing = `there is no batch ${JSON.stringify(of.name)} so far`;
	let endedBefore: number | undefined;
	const look = async () => {
		const known = await of.info().catch(() => undefined);
		isRead = true;
		info = known ?? info;
	};
	void look();
	const timer = setInterval(look, LOOK_EVERY_MS).unref();
	const endBar = showBar(() => {
		const {completed = 0, dead = 0, cancelled = 0} = info?.counts ?? {};
		const done = completed + dead + cancelled;
		if (info) endedBefore ??= done;
		return {done, executed: done - (endedBefore ?? done), dead, total: info?.total, unknown: isRead && !info ? missing : undefined, isStopping: isSignalled()};
	});
	return async () => {
		clearInterval(timer);
		await look();
		endBar();
	};
}

function statusOf(map: Pick<JobMap<unknown, unknown>, 'progress'>): MapStatus {
	const {completed, dead, cancelled, reused, total} = map.progress();
	const done = completed + dead + cancelled;
	return {done, executed: done - reused, dead, total, isStopping: isSignalled()};
}

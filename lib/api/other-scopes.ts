import type {TaskCounts} from '../job/job.ts';

const LOOK_EVERY_MS = 15_000;

/** While an engine is open, warns once of each other scope of which jobs of its tasks wait, though no program seems to have it. Returns what ends this. */
export function warnOfOtherScopes(read: () => Promise<readonly TaskCounts[]>, own: string, warn: (sentence: string) => void): () => void {
	const find = otherScopes();
	const look = async () => {
		for (const [scope, jobs] of find(await read())) {
			const what = `Jobs of the scope ${JSON.stringify(scope)} wait (${jobs}), and no program seems to run them`;
			const how = `faena adopt --from ${JSON.stringify(scope)} --to ${JSON.stringify(own)}`;
			warn(`${what}. Start one of that scope; or give its jobs to this one, which has another scope: ${how}`);
		}
	};
	const timer = setInterval(() => look().catch(() => undefined), LOOK_EVERY_MS).unref();
	return () => clearInterval(timer);
}

/** Returns a function that takes the jobs of other scopes again and again, and returns, once each, scopes of which twice in a row some are ready and none runs. */
export function otherScopes(): (others: readonly TaskCounts[]) => (readonly [scope: string, jobs: number])[] {
	/** How often in a row. */
	const found = new Map<string, number>();
	return others =>
		[...Map.groupBy(others, ({scope = ''}) => scope)].flatMap(([scope, counts]) => {
			const jobs = counts.reduce((sum, {isPaused, ready, quarantined}) => sum + (isPaused ? 0 : ready + quarantined), 0);
			found.set(scope, jobs === 0 || counts.some(({running}) => running > 0) ? 0 : (found.get(scope) ?? 0) + 1);
			return found.get(scope) === 2 ? [[scope, jobs] as const] : [];
		});
}

import {realpathSync} from 'node:fs';
import {shownLocation} from '../api/queue-location.ts';
import type {Engine} from '../index.ts';
import {scopeOfModule} from '../job/scope.ts';
import {toUrl} from '../job/task-module.ts';
import type {TaskCounts} from '../queue.ts';
import {hashOf} from '../support/hash.ts';
import {inLine} from './controls.ts';
import {counted, printError} from './print.ts';
import {shellQuote} from './shell-quote.ts';

/**
 * The scopes of a command that runs tasks of a module: first that of its own jobs, whose paths are relative to its folder, and whose results may depend on
 * the variables that it sets. Jobs of the module alone, such as those of programs, run anywhere.
 */
export function scopesIn(module: string | URL, env: Readonly<Record<string, string>> = {}): readonly [own: string, ofModule: string] {
	const ofModule = scopeOfModule(toUrl(String(module))) as string;
	return [[`${ofModule} in ${realpathSync('.')}`, ...variablesIn(env)].join(' '), ofModule];
}

/** The variables as a part of a name: none, or one with their hash, since they may be secrets. */
export function variablesIn(env: Readonly<Record<string, string>> = {}): readonly string[] {
	const named = Object.entries(env).sort();
	return named.length > 0 ? [`--env ${hashOf(JSON.stringify(named))}`] : [];
}

/** For so long jobs must be ready, and none run, before no program seems to have their scope. */
export const MAX_IDLE_MS = 60_000;

/** While the engine is open, says once for each other scope that jobs of its tasks wait there, and that no program seems to have it. */
export function tellOtherScopes(engine: Pick<Engine, 'taskCounts'>, own: string, queue: string): void {
	const find = otherScopes();
	const look = async () => {
		for (const [scope, jobs] of find((await engine.taskCounts()).others)) {
			const names = `--from ${shellQuote(scope)} --to ${shellQuote(own)} --queue ${shellQuote(shownLocation(queue))}`;
			const what = `${counted(jobs, 'job')} of the scope ${inLine(scope)} ${jobs === 1 ? 'waits' : 'wait'}, and no program seems to run them`;
			printError(`${what}. Start one of that scope; or give its jobs to this one: faena adopt ${names}`);
		}
	};
	setInterval(() => look().catch(() => undefined), MAX_IDLE_MS).unref();
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

import {realpathSync} from 'node:fs';
import {hashOf, scopeOfModule, toUrl} from '../internal/words.ts';

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

import {realpathSync} from 'node:fs';
import {scopeOfModule} from '../job/scope.ts';
import {toUrl} from '../job/task-module.ts';
import {shortHash} from './short-hash.ts';

/**
 * The scopes of a command that runs tasks of a module: first that of its own jobs, whose paths are relative to its folder, and whose results may depend on
 * the variables that it sets. Jobs of the module alone, such as those of programs, run anywhere. Variables may be secrets, so the scope has a hash of them.
 */
export function scopesIn(module: string | URL, env: Readonly<Record<string, string>> = {}): readonly [own: string, ofModule: string] {
	const ofModule = scopeOfModule(toUrl(String(module))) as string;
	const variables = Object.keys(env).length === 0 ? '' : ` --env ${shortHash(JSON.stringify(Object.entries(env).sort()))}`;
	return [`${ofModule} in ${realpathSync('.')}${variables}`, ofModule];
}

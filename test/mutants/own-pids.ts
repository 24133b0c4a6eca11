import {spawnSync} from 'node:child_process';
import {readlinkSync} from 'node:fs';

/** How the command tells itself, started again, in which namespace it was first. */
const OUTER = 'FAENA_OUTER_PIDS';

/**
 * Starts the command again in a PID namespace of its own (`unshare` of util-linux) and ends with its exit code; returns where it runs in one.
 * A mutant may send a signal to a wrong process: there it finds none but ours, and all of them end with the command.
 */
export function requireOwnPids(): void {
	const own = readlinkSync('/proc/self/ns/pid');
	const outer = process.env[OUTER];
	if (outer !== undefined && outer !== own) return;
	const asUser = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
	const command = [...asUser, '--pid', '--fork', '--mount-proc', '--kill-child', process.execPath, ...process.execArgv, ...process.argv.slice(1)];
	const {status, error} = spawnSync('unshare', command, {stdio: 'inherit', env: {...process.env, [OUTER]: own}});
	if (error)
		throw new Error('A mutant may signal foreign processes, so this needs a PID namespace of its own: install util-linux, for `unshare`', {cause: error});
	// `unshare` says itself what the kernel refused.
	process.exit(status ?? 1);
}

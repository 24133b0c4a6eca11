import {execFile, execFileSync} from 'node:child_process';
import {existsSync, mkdirSync} from 'node:fs';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {type Server, startServer} from './server.ts';

/** Redis's own words for when its log of commands reaches the disk. */
export type AppendFsync = 'everysec' | 'always';

/**
 * Starts a Redis with an append-only file in the folder. Clients reach it by a socket in the file system, which is faster than TCP. BullMQ
 * asks for `noeviction`. Snapshots and rewriting of the file are off, because both would only slow it down.
 */
export async function startRedis(folder: string, appendfsync: AppendFsync, env: Readonly<Record<string, string>>): Promise<Server> {
	await installRedis();
	mkdirSync(folder);
	const socket = join(folder, 'redis.sock');
	const settings = {
		port: 0,
		unixsocket: socket,
		dir: folder,
		save: '',
		appendonly: 'yes',
		appendfsync,
		'auto-aof-rewrite-percentage': 0,
		'maxmemory-policy': 'noeviction',
		daemonize: 'no',
	};
	return startServer({
		program: 'redis-server',
		words: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, `${value}`]),
		env,
		ready: /ready to accept connections/i,
		signal: 'SIGTERM',
		url: socket,
	});
}

/**
 * Installs Debian's package, if this needs no permission of the user: as root, and if a policy, as in containers, keeps packages from
 * starting their services.
 */
async function installRedis(): Promise<void> {
	if (isInstalled()) return;
	const mayInstall = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get') && existsSync('/usr/sbin/policy-rc.d');
	if (!mayInstall) throw new Error('redis-server is not installed; on Debian and Ubuntu it comes with: apt-get install redis-server');
	const env = {...process.env, DEBIAN_FRONTEND: 'noninteractive'};
	await promisify(execFile)('apt-get', ['update'], {env});
	await promisify(execFile)('apt-get', ['install', '-y', '--no-install-recommends', 'redis-server'], {env});
}

function isInstalled(): boolean {
	try {
		execFileSync('redis-server', ['--version'], {stdio: 'ignore'});
		return true;
	} catch {
		return false;
	}
}

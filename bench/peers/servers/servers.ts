import {chmodSync, mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import type {Case, Surroundings} from '../../plan/suite.ts';
import {shareCounter, startPostgres} from './postgres.ts';
import {startRedis} from './redis.ts';
import type {Server} from './server.ts';

const POSTGRES = new Set(['graphile-worker', 'pg-boss', 'bare-postgres', 'faena-postgres']);

/** The server that a peer's case needs, if any. */
export function serverOf({subject, durability}: Pick<Case, 'subject' | 'durability'>): ServerName | undefined {
	if (subject === 'bullmq' || subject === 'bullmq-sandbox') return durability === 'full' ? 'redis-always' : 'redis-everysec';
	return POSTGRES.has(subject) ? 'postgres' : undefined;
}

export type ServerName = keyof typeof STARTS;

type Start = (folder: string, env: Readonly<Record<string, string>>) => Promise<Server>;

const STARTS = {
	'redis-everysec': (folder, env) => startRedis(folder, 'everysec', env),
	'redis-always': (folder, env) => startRedis(folder, 'always', env),
	postgres: startPostgres,
} satisfies Record<string, Start>;

export interface Servers {
	readonly running: NonNullable<Surroundings['servers']>;
	/** Why the other servers are not running. */
	readonly failed: Readonly<Partial<Record<ServerName, string>>>;
	stop(): Promise<void>;
}

/** Starts servers, each with its data in a folder of its own on the measured disk. */
export async function startServers(names: readonly ServerName[], folder: string, counter: Surroundings['counter']): Promise<Servers> {
	const place = mkdtempSync(join(folder, 'faena-peers-'));
	const remove = () => rmSync(place, {recursive: true, force: true});
	process.once('exit', remove);
	if (counter) shareCounter(counter);
	const env: Record<string, string> = counter ? {LD_PRELOAD: counter.library, FAENA_BENCH_SYNCS: counter.file} : {};
	const [started, failed]: [Partial<Record<ServerName, Server>>, Partial<Record<ServerName, string>>] = [{}, {}];
	// A server that runs as another user needs it.
	chmodSync(place, 0o755);
	for (const name of names) {
		try {
			started[name] = await STARTS[name](join(place, name), env);
		} catch (error) {
			failed[name] = (error as Error).message;
		}
	}
	return {
		running: Object.fromEntries(Object.entries(started).map(([name, {url, pid}]) => [name, {url, pid}])),
		failed,
		async stop() {
			await Promise.all(Object.values(started).map(server => server.stop()));
			process.off('exit', remove);
			remove();
		},
	};
}

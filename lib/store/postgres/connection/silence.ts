import type {PostgresPool} from '../../postgres-client.ts';

/** What a new connection finds out about calls that wait long for their answers. */
export interface Finding {
	/** True if it can't be made, and nothing refuses it either: the server, or the way to it, is gone. */
	readonly isSilent: boolean;
	/** Those of the server's processes that are not there, or have nothing to do. */
	readonly idle: readonly number[];
}

/** Errors of a network without an answer. One that refuses a connection answers. */
const SILENCE = /^(ETIMEDOUT|EHOST|ENET|ENOTFOUND|EAI_)|^timeout expired/;

/** Behind a pooler a connection does not know its process. */
const IDLE = `
	select pid from unnest($2::integer[]) asked (pid) where pg_backend_pid() = $1
		and not exists (select from pg_stat_activity a where a.pid = asked.pid and a.state is distinct from 'idle')`;

/** Makes a connection like those of the pool, and asks about processes of the server. */
export async function findOut(processes: readonly number[], {options, Client}: PostgresPool, timeoutMs: number): Promise<Finding> {
	if (!options || !Client) return {isSilent: false, idle: []};
	let client: InstanceType<typeof Client> | undefined;
	let hasAnswered = false;
	try {
		// By its name, since a pool hides the password from copies.
		client = new Client({...options, password: options.password, connectionTimeoutMillis: timeoutMs, query_timeout: timeoutMs});
		client.on('error', () => {});
		const {password} = client;
		// It is asked for by the server; and where it comes from may be away.
		if (typeof password === 'function') {
			client.password = () => {
				hasAnswered = true;
				return password();
			};
		}
		await client.connect();
		hasAnswered = true;
		const {rows} = await client.query({text: IDLE, values: [client.processID, processes]});
		return {isSilent: false, idle: (rows as {readonly pid: number}[]).map(({pid}) => pid)};
	} catch (error) {
		const {code, message} = Object(error) as {readonly code?: string; readonly message?: string};
		return {isSilent: !hasAnswered && SILENCE.test(code ?? message ?? ''), idle: []};
	} finally {
		void client?.end().catch(() => {});
	}
}

/** Work over HTTP, by node:http alone: `node examples/http-server/main.ts`. */
import {createServer, type IncomingMessage} from 'node:http';
import {type Answer, accept, faena, look} from './jobs.ts';

const MAX_BODY_BYTES = 64 * 1024;
const closing = new AbortController();

const server = createServer(async (request, response) => {
	const {status, headers, body} = await handle(request).catch((error): Answer => ({status: 500, body: {error: (error as Error).message}}));
	// A kept connection would keep the server from closing.
	if (closing.signal.aborted) response.setHeader('connection', 'close');
	response.writeHead(status, {'content-type': 'application/json', ...headers}).end(JSON.stringify(body));
});

async function handle(request: IncomingMessage): Promise<Answer> {
	const {pathname, searchParams} = new URL(request.url ?? '/', 'http://localhost');
	const [, id] = /^\/jobs\/(\d+)$/.exec(pathname) ?? [];
	if (request.method === 'GET' && id !== undefined) return look(Number(id), Number(searchParams.get('wait') ?? 0), closing.signal);
	if (request.method !== 'POST' || pathname !== '/jobs') return {status: 404, body: {error: 'POST /jobs or GET /jobs/ID'}};
	let text = '';
	for await (const chunk of request.setEncoding('utf8')) {
		text += chunk;
		if (text.length > MAX_BODY_BYTES) return {status: 413, headers: {connection: 'close'}, body: {error: `at most ${MAX_BODY_BYTES} bytes`}};
	}
	try {
		return await accept(JSON.parse(text), request.headers['idempotency-key']?.toString());
	} catch (error) {
		if (error instanceof SyntaxError) return {status: 400, body: {error: 'The body must be JSON.'}};
		throw error;
	}
}

/** Takes no new connections, ends the waits, answers all requests; then lets running jobs finish. Waiting jobs stay for the next start. */
async function shutDown(): Promise<void> {
	closing.abort();
	await new Promise(resolve => {
		server.close(resolve);
		server.closeIdleConnections();
	});
	await faena.close();
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, shutDown);
server.listen(Number(process.env['PORT'] ?? 3000), () => console.log('listening', JSON.stringify(server.address())));

/** Work over HTTP, by node:http alone. */
import {createServer, type IncomingMessage} from 'node:http';
import {type Answer, accept, cancel, change, faena, httpError, look, refusal} from './jobs.ts';

const MAX_BODY_BYTES = 64 * 1024;
const closing = new AbortController();

const server = createServer(async (request, response) => {
	const {status, headers, body} = await handle(request).catch(refusal);
	// A kept connection would keep the server from closing, and the rest of a body that is too long is not read.
	if (closing.signal.aborted || status === 413) response.setHeader('connection', 'close');
	response.writeHead(status, {'content-type': 'application/json', ...headers}).end(JSON.stringify(body));
});

async function handle(request: IncomingMessage): Promise<Answer> {
	const {pathname, searchParams} = new URL(`http://localhost${request.url}`);
	const id = Number(pathname.slice('/jobs/'.length));
	switch (`${request.method} ${pathname.replace(/\d+$/, 'ID')}`) {
		case 'POST /jobs':
			return accept(await readJson(request), request.headers['idempotency-key']?.toString());
		case 'GET /jobs/ID':
			return look(id, Number(searchParams.get('wait')), closing.signal);
		case 'PATCH /jobs/ID':
			return change(id, await readJson(request));
		case 'DELETE /jobs/ID':
			return cancel(id);
		default:
			throw httpError(404, 'There are POST /jobs, and GET, PATCH and DELETE /jobs/ID.');
	}
}

async function readJson(request: IncomingMessage): Promise<unknown> {
	const chunks: Buffer[] = [];
	let bytes = 0;
	for await (const chunk of request) {
		bytes += chunk.length;
		if (bytes > MAX_BODY_BYTES) throw httpError(413, `A body has at most ${MAX_BODY_BYTES} bytes.`);
		chunks.push(chunk);
	}
	try {
		return JSON.parse(Buffer.concat(chunks).toString());
	} catch {
		throw httpError(400, 'The body must be JSON.');
	}
}

/** Ends the waits, answers the requests it has, lets running jobs finish. Waiting jobs stay for the next start. */
async function shutDown(): Promise<void> {
	closing.abort();
	await new Promise(resolve => {
		server.close(resolve);
		server.closeIdleConnections();
	});
	await faena.close();
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, shutDown);
const port = Number(process.env['PORT'] ?? 3000);
server.listen(port, () => console.log('listening', JSON.stringify(server.address())));

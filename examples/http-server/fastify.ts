/** Work over HTTP, by Fastify: `npm install fastify`, then `node examples/http-server/fastify.ts`. */
import fastify, {type FastifyReply} from 'fastify';
import {type Answer, accept, faena, look} from './jobs.ts';

const closing = new AbortController();
const app = fastify({bodyLimit: 64 * 1024, logger: {level: 'warn'}});

app.post('/jobs', async (request, reply) => send(reply, await accept(request.body, request.headers['idempotency-key']?.toString())));

app.get<{Params: {id: string}; Querystring: {wait?: string}}>('/jobs/:id(^\\d+$)', async ({params, query}, reply) =>
	send(reply, await look(Number(params.id), Number(query.wait ?? 0), closing.signal)),
);

function send(reply: FastifyReply, {status, headers = {}, body}: Answer): FastifyReply {
	// A kept connection would keep the server from closing.
	if (closing.signal.aborted) reply.header('connection', 'close');
	return reply.code(status).headers(headers).send(body);
}

// Fastify answers the requests it has between these two. Waits must end before, and the engine must stay open until then.
app.addHook('preClose', async () => closing.abort());
app.addHook('onClose', () => faena.close());

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => app.close());
await app.listen({port: Number(process.env['PORT'] ?? 3000)});
console.log('listening', JSON.stringify(app.server.address()));

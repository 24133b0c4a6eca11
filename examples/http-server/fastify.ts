/** Work over HTTP, by Fastify. */
import fastify, {type FastifyReply} from 'fastify';
import {type Answer, accept, cancel, change, faena, look, refusal} from './jobs.ts';

const closing = new AbortController();
const app = fastify({bodyLimit: 64 * 1024, logger: {level: 'warn'}});

app.post('/jobs', async ({body, headers}, reply) => {
	const key = headers['idempotency-key']?.toString();
	return send(reply, await accept(body, key));
});

type OfJob = {Params: {id: string}; Querystring: {wait?: string}};
const job = '/jobs/:id(^\\d+$)';
app.get<OfJob>(job, async ({params, query}, reply) => {
	const waitSeconds = Number(query.wait ?? 0);
	return send(reply, await look(Number(params.id), waitSeconds, closing.signal));
});
app.patch<OfJob>(job, async ({params, body}, reply) => send(reply, await change(Number(params.id), body)));
app.delete<OfJob>(job, async ({params}, reply) => send(reply, await cancel(Number(params.id))));

// Without it, each FaenaError would be answered by 500. Fastify's own errors have a status, too.
app.setErrorHandler((error, _, reply) => send(reply, refusal(error)));

function send(reply: FastifyReply, {status, headers = {}, body}: Answer): FastifyReply {
	// A kept connection would keep the server from closing.
	if (closing.signal.aborted) reply.header('connection', 'close');
	return reply.code(status).headers(headers).send(body);
}

// Between these two Fastify answers the requests it has: the waits end before, and the engine is open until then.
app.addHook('preClose', async () => closing.abort());
app.addHook('onClose', () => faena.close());

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => app.close());
await app.listen({port: Number(process.env['PORT'] ?? 3000)});
console.log('listening', JSON.stringify(app.server.address()));

/** First file of a spawner. When its stdin, the pipe to the engine, closes, it kills all commands, and holds the owner's lock until they are gone. */
import {createServer} from 'node:net';
import {setPriority} from 'node:os';
import {CommandServer} from '../lib/spawner/command-server.ts';
import {Kind, readFrames, writeFrame} from '../lib/spawner/frames.ts';
import {LivingCommands} from '../lib/spawner/living-commands.ts';
import type {SpawnerStart} from '../lib/spawner/spawner.ts';
import {shareLock} from '../lib/store/owners/owner-lock.ts';
import {removeRendezvous, socketIn} from '../lib/support/rendezvous.ts';

// A terminal and service managers send these to all processes. The engine decides when this one ends.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

const {rendezvous, list, ownerLock, nice, mark} = JSON.parse(process.argv[2] ?? '') as SpawnerStart;
// So that `killall node` does not end it: it has to kill the commands.
process.title = 'faena spawner';
// Its commands inherit it.
if (nice !== undefined) setPriority(nice);
// Also if it can't begin.
process.on('exit', () => removeRendezvous(rendezvous));
if (ownerLock !== undefined) shareLock(ownerLock);
const living = new LivingCommands(list);
const commands = new CommandServer(living, mark);
const server = createServer(socket => commands.accept(socket));
server.listen(socketIn(rendezvous), () => writeFrame(process.stdout, Kind.ready, 0));

readFrames(process.stdin, async (kind, request, body) => {
	if (kind !== Kind.endWorker) return;
	const areGone = await commands.endWorker(body.toString());
	writeFrame(process.stdout, Kind.workerEnded, request, areGone ? '' : 'some may live');
});
for (const stream of [process.stdin, process.stdout]) stream.on('error', () => undefined);
process.stdin.once('close', async () => {
	await commands.end();
	living.close();
	process.exit();
});

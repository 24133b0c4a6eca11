import {once} from 'node:events';
import {connect} from 'node:net';
import {serialize} from 'node:v8';
import test from 'ava';
import {ControlSocket, writeMessage} from '../../lib/pool/processes/control-socket.ts';
import {socketIn} from '../../lib/support/rendezvous.ts';

test('a command to a process that has just died is lost, and ends no other process', async t => {
	const socket = new ControlSocket(() => undefined);
	const watchdog = connect(socketIn(socket.rendezvous));
	await socket.connected;
	watchdog.destroy();
	// From here on in one turn: the pool's end has not heard of it yet.
	await once(watchdog, 'close');
	const ended = socket.end();
	socket.send({generation: 1, take: [0]});
	await t.notThrowsAsync(ended);
});

test('a message of a process that can not be read is passed over, and those after it arrive', async t => {
	const heard: unknown[] = [];
	const socket = new ControlSocket(message => heard.push(message));
	const watchdog = connect(socketIn(socket.rendezvous));
	await socket.connected;
	for (const body of [Buffer.from('nonsense'), Buffer.alloc(0), serialize('good')]) writeMessage(watchdog, body);
	watchdog.end();
	await socket.end();
	t.deepEqual(heard, ['good']);
});

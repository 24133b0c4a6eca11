import {once} from 'node:events';
import {connect} from 'node:net';
import {serialize} from 'node:v8';
import test from 'ava';
import {ControlSocket} from '../../lib/pool/processes/control-socket.ts';
import {writeFrame} from '../../lib/pool/processes/frames.ts';
import {closeMeetingPlace, openMeetingPlace, socketAt} from '../../lib/pool/processes/rendezvous.ts';

test('a command to a process that has just died is lost, and ends nobody else', async t => {
	const place = openMeetingPlace();
	t.teardown(() => closeMeetingPlace(place));
	const lifeline = new ControlSocket(place, () => undefined);
	const watchdog = connect(socketAt(place));
	await lifeline.connected;
	watchdog.destroy();
	// From here on in one turn: the pool's end has not heard of it yet.
	await once(watchdog, 'close');
	const ended = lifeline.end();
	lifeline.send({generation: 1, take: [0]});
	await t.notThrowsAsync(ended);
});

test('a message of a process that can not be read is passed over, and those after it arrive', async t => {
	const place = openMeetingPlace();
	t.teardown(() => closeMeetingPlace(place));
	const heard: unknown[] = [];
	const lifeline = new ControlSocket(place, message => heard.push(message));
	const watchdog = connect(socketAt(place));
	await lifeline.connected;
	for (const body of [Buffer.from('nonsense'), Buffer.alloc(0), serialize('good')]) writeFrame(watchdog, body);
	watchdog.end();
	await lifeline.end();
	t.deepEqual(heard, ['good']);
});

import {once} from 'node:events';
import {connect} from 'node:net';
import test from 'ava';
import {Lifeline} from '../../lib/pools/lifeline.ts';
import {closeMeetingPlace, openMeetingPlace, socketAt} from '../../lib/pools/meeting-place.ts';

test('a command to a process that has just died is lost, and ends nobody else', async t => {
	const place = openMeetingPlace();
	t.teardown(() => closeMeetingPlace(place));
	const lifeline = new Lifeline(place, () => undefined);
	const guard = connect(socketAt(place));
	await lifeline.connected;
	guard.destroy();
	// From here on in one turn: the pool's end has not heard of it yet.
	await once(guard, 'close');
	const ended = lifeline.end();
	lifeline.send({generation: 1, take: [0]});
	await t.notThrowsAsync(ended);
});

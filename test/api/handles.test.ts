import test from 'ava';
import {Events} from '../../lib/api/events.ts';
import {JobHandle} from '../../lib/api/handles.ts';
import {toEnvelope} from '../../lib/job/failure.ts';
import {JobMaker} from '../../lib/job/new-job.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {DispatcherClient, type Transport} from '../../lib/transport/client.ts';

test('a wait rejects if the dispatcher can not tell whether the job has ended', async t => {
	const handle = new JobHandle(
		new DispatcherClient(refusing(new FaenaError('OutcomeUnknown', 'The disk did not say.')), new Events('jobs.db', undefined)),
		new JobMaker([], {}, 1024),
		1,
		'count',
		false,
	);
	await t.throwsAsync(handle.result(), {code: 'OutcomeUnknown', message: 'The disk did not say.'});
});

/** A connection to a dispatcher that refuses every call. */
function refusing(error: FaenaError): Transport {
	let listener: Parameters<Transport['listen']>[0];
	return {
		tasks: [],
		listen: onMessage => {
			listener = onMessage;
		},
		send: calls => {
			const replies = calls.map(({call}) => ({call, error: toEnvelope(error)}));
			setImmediate(() => listener({type: 'replies', replies, notices: [], events: []}));
		},
		ref: () => undefined,
		unref: () => undefined,
		end: async () => undefined,
	};
}

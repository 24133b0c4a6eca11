import test from 'ava';
import {Events} from '../../lib/api/events.ts';
import {JobHandle} from '../../lib/api/handles.ts';
import {toEnvelope} from '../../lib/job/failure.ts';
import {JobMaker} from '../../lib/job/new-job.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {DispatcherClient} from '../../lib/transport/client.ts';
import {answering} from '../fixtures/answering.ts';

test('a wait rejects if the dispatcher can not tell whether the job has ended', async t => {
	const handle = new JobHandle(
		new DispatcherClient(answering({error: toEnvelope(new FaenaError('OutcomeUnknown', 'The disk did not say.'))}), new Events('jobs.db', undefined)),
		new JobMaker([], {}, 1024),
		1,
		'count',
		false,
	);
	await t.throwsAsync(handle.result(), {code: 'OutcomeUnknown', message: 'The disk did not say.'});
});

import test from 'ava';
import type {NewGroup} from '../../lib/job/groups/group.ts';
import type {Values} from '../../lib/job/groups/packed.ts';
import {type Call, type DispatcherMessage, type Notice, payloadBuffers, resultBuffers} from '../../lib/transport/messages.ts';
import {POLICY} from '../fixtures/dispatcher.ts';

const LARGE = new Uint8Array(16 * 1024);
const SMALL = new Uint8Array(16 * 1024 - 1);

function enqueue(values: Values, givesPayloads = true): Call {
	const group: NewGroup = {task: 'count', values, priority: 0, runAt: null, policy: POLICY};
	return {call: 1, type: 'enqueue', group, watch: false, givesPayloads};
}

function replies(results: readonly Notice['result'][]): DispatcherMessage {
	return {type: 'replies', replies: [], completed: [], notices: results.map((result, index) => ({id: index + 1, status: 'completed', result})), events: []};
}

test('the memory of large binary payloads goes to the dispatcher if their sender does not keep them, and that of large results to the caller', t => {
	const calls = [enqueue(['1', LARGE, SMALL]), enqueue({count: 2, text: null}), {call: 2, type: 'stats'}] as const satisfies Call[];
	t.deepEqual(payloadBuffers(calls), [LARGE.buffer]);
	t.deepEqual(payloadBuffers([enqueue([LARGE], false)]), []);
	t.deepEqual(resultBuffers(replies([null, LARGE, SMALL, '1'])), [LARGE.buffer]);
	t.deepEqual(resultBuffers({type: 'signalQuery'}), []);
	t.deepEqual(resultBuffers({type: 'started', tasks: []}), []);
});

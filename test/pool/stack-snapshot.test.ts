import {mock} from 'node:test';
import {setImmediate as nextTurn} from 'node:timers/promises';
import test from 'ava';
import {ANSWER_MS, type InspectorClient, NO_ANSWER, takeStackSnapshot} from '../../lib/pool/stack-snapshot.ts';

/** The answers of an inspector, by method; those that are missing never come. */
type Answers = Readonly<Record<string, unknown>>;

class HandClient implements InspectorClient {
	readonly posted: string[] = [];
	onEvent: InspectorClient['onEvent'] = () => undefined;
	isClosed = false;
	readonly #answers: Answers;

	constructor(answers: Answers) {
		this.#answers = answers;
	}

	post(method: string): Promise<unknown> {
		this.posted.push(method);
		return Object.hasOwn(this.#answers, method) ? Promise.resolve(this.#answers[method]) : new Promise(() => undefined);
	}

	close(): void {
		this.isClosed = true;
	}

	tell(method: string, params: object): void {
		this.onEvent(method, params as never);
	}
}

test.beforeEach(() => mock.timers.enable({apis: ['setTimeout']}));
test.afterEach.always(() => mock.timers.reset());

/** Lets time pass step by step until the snapshot is there. */
async function settle<Value>(promise: Promise<Value>, ms: number): Promise<Value | 'pending'> {
	let value: Value | 'pending' = 'pending';
	void promise.then(each => {
		value = each;
	});
	for (let passed = 0; passed < ms; passed += 50) {
		await nextTurn();
		mock.timers.tick(50);
	}
	await nextTurn();
	return value;
}

const frame = (functionName: string, scriptId: string, lineNumber: number, columnNumber?: number) => ({
	functionName,
	location: {scriptId, lineNumber, ...(columnNumber !== undefined && {columnNumber})},
});

test.serial('a thread that runs is paused, and its stack has lines and columns counted from one', async t => {
	const client = new HandClient({'Debugger.pause': {}});
	const taken = takeStackSnapshot(client);
	client.tell('Debugger.scriptParsed', {scriptId: '1', url: 'file:///tasks.js'});
	client.tell('Debugger.paused', {callFrames: [frame('loop', '1', 4, 2), frame('', '1', 9), frame('other', '2', 0, 0)]});
	t.deepEqual(await settle(taken, 50), {stack: '    at loop (file:///tasks.js:5:3)\n    at file:///tasks.js:10:1\n    at other (unknown:1:1)'});
	t.deepEqual(client.posted, ['Debugger.enable', 'Debugger.pause', 'Debugger.disable']);
	t.true(client.isClosed);
});

test.serial('of a long stack the first 50 frames are kept', async t => {
	const client = new HandClient({'Debugger.pause': {}});
	const taken = takeStackSnapshot(client);
	client.tell('Debugger.paused', {callFrames: Array.from({length: 60}, (_, index) => frame(`f${index}`, '1', index, 0))});
	const snapshot = await settle(taken, 50);
	const lines = snapshot !== 'pending' && 'stack' in snapshot ? snapshot.stack.split('\n') : [];
	t.is(lines.length, 50);
	t.is(lines[49], '    at f49 (unknown:50:1)');
});

test.serial('a thread that does not answer is in native code, or blocked', async t => {
	const client = new HandClient({});
	const taken = takeStackSnapshot(client);
	t.is(await settle(taken, ANSWER_MS - 50), 'pending');
	t.deepEqual(await settle(taken, 100), NO_ANSWER);
	t.true(client.isClosed);
});

const RESOURCES: Readonly<Record<string, readonly [value: unknown, tail: string]>> = {
	'waits for timers and sockets': [
		['Timeout', 'MessagePort', 'Timeout', 'TCPSocketWrap', 'Worker', 'Pipe', 'PipeWrap'],
		' Its worker had open: Timeout, TCPSocketWrap.',
	],
	'waits for nothing': [['MessagePort'], ' Its worker had nothing open: no timer, file or socket.'],
	'has replaced what tells of its resources': ['nonsense', ''],
};

for (const [what, [value, tail]] of Object.entries(RESOURCES)) {
	test.serial(`a thread that answers and is not paused waits; so one that ${what} tells`, async t => {
		const client = new HandClient({'Debugger.pause': {}, 'Runtime.evaluate': {result: {value}}});
		const taken = takeStackSnapshot(client);
		t.is(await settle(taken, 200), 'pending');
		t.deepEqual(await settle(taken, 100), {noStack: `It was waiting, with nothing of it on the stack.${tail}`});
		t.deepEqual(client.posted, ['Debugger.enable', 'Debugger.pause', 'Debugger.disable', 'Runtime.evaluate']);
		t.true(client.isClosed);
	});
}

test.serial('a waiting thread that does not answer is not waited for', async t => {
	const taken = takeStackSnapshot(new HandClient({'Debugger.pause': {}}));
	t.is(await settle(taken, 400), 'pending');
	t.deepEqual(await settle(taken, 200), {noStack: 'It was waiting, with nothing of it on the stack.'});
});

import type {Encoded} from './encoding.ts';
import {isList, type Values} from './lines.ts';
import type {CallsMessage, DispatcherMessage, Started, WorkerMessage, WorkerRequest} from './protocol.ts';

type Message = WorkerMessage | WorkerRequest | CallsMessage | DispatcherMessage | Started;

/** From this size on, handing memory over costs less than half of a copy: 16 KiB 10 instead of 22 µs, 1 MiB 0.3 instead of 0.75 ms. */
const WORTHWHILE_BYTES = 16 * 1024;

/**
 * The large binary values of a message that go to another thread, as memory to be handed over with it. The sender has them
 * no more after that. `encode` gives each value memory of its own, and so does SQLite; a value that shares is copied.
 */
export function memoryOf(message: Message): ArrayBuffer[] {
	const values = valuesOf(message).filter(value => value instanceof Uint8Array) as Uint8Array<ArrayBuffer>[];
	return values.filter(({byteLength, buffer}) => byteLength >= WORTHWHILE_BYTES && byteLength === buffer.byteLength).map(({buffer}) => buffer);
}

/** True for a value whose memory was handed over: no encoded value is empty. */
export function isHandedOver(value: Encoded): boolean {
	return value instanceof Uint8Array && value.byteLength === 0;
}

function valuesOf(message: Message): readonly Encoded[] {
	switch (message.type) {
		case 'outcomes':
			return listed(message.values);
		case 'note':
			return message.checkpoint ? [message.checkpoint.state] : [];
		case 'chunk':
			return listed(message.payloads);
		case 'calls':
			return message.calls.flatMap(call => (call.type === 'enqueue' ? listed(call.payloads) : []));
		case 'replies':
			return message.notices.map(({value}) => value);
		default:
			return [];
	}
}

/** No line is binary. */
function listed(values: Values): readonly Encoded[] {
	return isList(values) ? values : [];
}

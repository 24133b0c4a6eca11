import type {JobEvent} from '../job/events.ts';
import {DispatcherClient, openThread, type Transport} from '../transport/client.ts';
import type {DispatcherStart} from '../transport/messages.ts';
import {Engine} from './engine.ts';
import {Events} from './events.ts';
import type {InlineTransport} from './inline.ts';
import {type AnyTasks, type OpenOptions, resolveOpenOptions, type Settings} from './open-options.ts';

/**
 * Opens the queue, starts the dispatcher's thread and its workers, and loads the tasks. Jobs that an earlier run left
 * unfinished go on at once.
 * @example await using faena = await open<typeof import('./tasks.ts')>({queue: 'jobs.db', tasks: new URL('./tasks.ts', import.meta.url)});
 * @throws FaenaError `BadOption`, `BadTasksModule`, `SetupFailed`, `BadDatabase`, `NewerDatabase`
 */
export async function open<Tasks = AnyTasks>(options: OpenOptions): Promise<Engine<Tasks>> {
	const settings = resolveOpenOptions(options);
	const openTransport: OpenTransport = async (...start) =>
		settings.isolation === 'inline' ? (await loadInlineTransport()).open(...start) : openThread(...start);
	return connect(settings, openTransport, (client, events) => new Engine<Tasks>(settings, client, events));
}

/** Loaded only when it is needed: it would double the code that other programs load. */
async function loadInlineTransport(): Promise<typeof InlineTransport> {
	return (await import('./inline.ts')).InlineTransport;
}

/** `publish` takes events that come before the transport is open. */
type OpenTransport = (start: DispatcherStart, publish: (event: JobEvent) => void) => Promise<Transport>;

/** Connects to a dispatcher, and makes an engine with the connection. */
export async function connect<Made>(
	{queue, durability, blobThresholdBytes, leaseMs, tasks, closeOnSignals, logger, ...settings}: Settings,
	openTransport: OpenTransport,
	make: (client: DispatcherClient, events: Events) => Made,
): Promise<Made> {
	const events = new Events(queue, logger);
	const subscriptions = events.changedSubscriptions();
	const transport = await openTransport(
		{queue, durability, blobThresholdBytes, leaseMs, events: subscriptions, closeOnSignals, pool: tasks === undefined ? undefined : {...settings, tasks}},
		event => events.publish(event),
	);
	const client = new DispatcherClient(transport, events);
	try {
		const made = make(client, events);
		events.log('opened', {isolation: settings.isolation, workers: settings.workers, tasks: client.tasks.map(({name}) => name)});
		return made;
	} catch (error) {
		await client.terminate();
		throw error;
	}
}

import type {DispatcherClient} from '../../transport/client.ts';

/** A map whose loop has not begun. */
interface UnreadMap {
	readonly client: DispatcherClient;
	readonly task: string;
	readonly batch: string | undefined;
	readonly what: 'map' | 'pipe';
	/** Ends the map and its source, and removes it from {@link unread}. */
	dismiss(): void;
}

/** The unread maps of all engines of this thread. Such a map runs no jobs, and without a warning its user might not notice. */
const unread = new Set<UnreadMap>();

/** Returns a function that removes the map. */
export function addUnread(map: UnreadMap): () => void {
	if (unread.size === 0) process.on('exit', warnAtExit);
	unread.add(map);
	return () => {
		if (unread.delete(map) && unread.size === 0) process.off('exit', warnAtExit);
	};
}

/** Warns of the unread maps of an engine, and ends them. */
export function dismissUnread(client: DispatcherClient): void {
	const maps = [...unread].filter(map => map.client === client);
	if (maps.length > 0) process.emitWarning(describe(maps), {type: 'FaenaWarning'});
	for (const map of maps) map.dismiss();
}

/** Emits the warnings directly: `process.emitWarning` would wait for the next turn of the event loop, which never comes. */
function warnAtExit(): void {
	for (const maps of Map.groupBy(unread, ({client}) => client).values())
		process.emit('warning', Object.assign(new Error(describe(maps)), {name: 'FaenaWarning'}));
}

function describe([first, ...others]: readonly UnreadMap[]): string {
	const batch = first?.batch === undefined ? '' : ` with the batch ${JSON.stringify(first.batch)}`;
	const more = others.length === 0 ? '' : ` The same goes for ${others.length} more ${others.length === 1 ? 'map' : 'maps'}.`;
	const what = first?.what ?? 'map';
	return `A ${what}() of the task ${first?.task}${batch} was never iterated, so it ran no jobs. Write: for await (const item of faena.${what}(…)) …, or: await faena.${what}(…).toArray().${more}`;
}

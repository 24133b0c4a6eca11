/** A map whose loop has not begun. */
interface UnreadMap {
	readonly task: string;
	readonly batch: string | undefined;
	/** Ends the map and its source, and removes it from this list. */
	dismiss(): void;
}

/** The lists that are not empty, of all engines of this thread: one listener for the program's end serves them all. */
const lists = new Set<UnreadMaps>();

/** An engine's maps whose loops have not begun. Such a map runs no jobs, and without a warning its user might not notice. */
export class UnreadMaps {
	readonly #maps = new Set<UnreadMap>();

	/** Returns a function that removes the map. */
	add(map: UnreadMap): () => void {
		if (lists.size === 0) process.on('exit', warnAtExit);
		lists.add(this);
		this.#maps.add(map);
		return () => this.#delete(map);
	}

	#delete(map: UnreadMap): void {
		this.#maps.delete(map);
		if (this.#maps.size === 0 && lists.delete(this) && lists.size === 0) process.off('exit', warnAtExit);
	}

	/** Warns of the maps, and ends them. */
	dismiss(): void {
		if (this.#maps.size > 0) process.emitWarning(this.describe(), {type: 'FaenaWarning'});
		for (const map of this.#maps) map.dismiss();
	}

	describe(): string {
		const [first, ...others] = this.#maps;
		const batch = first?.batch === undefined ? '' : ` with the batch ${JSON.stringify(first.batch)}`;
		const more = others.length === 0 ? '' : ` The same goes for ${others.length} more ${others.length === 1 ? 'map' : 'maps'}.`;
		return `A map() of the task ${first?.task}${batch} was never iterated, so it ran no jobs. Write: for await (const item of faena.map(…)) …, or: await Array.fromAsync(faena.map(…)).${more}`;
	}
}

/** Emits the warning directly: `process.emitWarning` would wait for the next turn of the event loop, which never comes. */
function warnAtExit(): void {
	for (const each of lists) process.emit('warning', Object.assign(new Error(each.describe()), {name: 'FaenaWarning'}));
}

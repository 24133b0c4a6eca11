/** A map whose loop has not begun. */
interface UnreadMap {
	readonly task: string;
	readonly batch: string | undefined;
	/** Ends the map and its source, and takes it away from here. */
	dismiss(): void;
}

/** Those of all engines of this thread, so that one listener is enough for the end of the program. */
const engines = new Set<UnreadMaps>();

/** An engine's maps whose loops have not begun: such a map runs nothing, which would otherwise be a silence. */
export class UnreadMaps {
	readonly #maps = new Set<UnreadMap>();

	/** Returns a function that takes it away again. */
	add(map: UnreadMap): () => void {
		if (engines.size === 0) process.on('exit', warnAtExit);
		engines.add(this);
		this.#maps.add(map);
		return () => this.#delete(map);
	}

	#delete(map: UnreadMap): void {
		this.#maps.delete(map);
		if (this.#maps.size === 0 && engines.delete(this) && engines.size === 0) process.off('exit', warnAtExit);
	}

	/** Warns of the maps that are still here, and ends them. */
	dismiss(): void {
		if (this.#maps.size > 0) process.emitWarning(this.describe(), {type: 'FaenaWarning'});
		for (const map of this.#maps) map.dismiss();
	}

	describe(): string {
		const [first, ...others] = this.#maps;
		const batch = first?.batch === undefined ? '' : ` with the batch ${JSON.stringify(first.batch)}`;
		const more = others.length === 0 ? '' : ` The same goes for ${others.length} more ${others.length === 1 ? 'map' : 'maps'}.`;
		return `A map() of the task ${first?.task}${batch} was never iterated, so nothing of it was run. Write: for await (const item of faena.map(…)) …, or: await Array.fromAsync(faena.map(…)).${more}`;
	}
}

/** `process.emitWarning` would wait for the event loop's next turn, and there is none. */
function warnAtExit(): void {
	for (const each of engines) process.emit('warning', Object.assign(new Error(each.describe()), {name: 'FaenaWarning'}));
}

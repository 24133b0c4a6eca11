/** Calls `run` for each payload, with `lanes` calls under way at a time. */
export async function inLanes(payloads: readonly unknown[], lanes: number, run: (payload: never) => Promise<unknown>): Promise<void> {
	let next = 0;
	const lane = async () => {
		while (next < payloads.length) await run(payloads[next++] as never);
	};
	await Promise.all(Array.from({length: Math.min(lanes, payloads.length)}, lane));
}

/** The two streams of a command's output, in the order in which they are printed. */
export const STREAMS = ['stdout', 'stderr'] as const;
export type Stream = (typeof STREAMS)[number];

/** Something of each of them. */
export type Streams<Of> = Readonly<Record<Stream, Of>>;

export function bothOf<Of>(of: (stream: Stream) => Of): Streams<Of> {
	return {stdout: of('stdout'), stderr: of('stderr')};
}

/** An output, or the parts of it that are read one after the other. */
export type Parts = Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>;

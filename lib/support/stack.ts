/** Folders of Faena's own code, as stack frames name them. */
const OWN_FOLDERS = [new URL('..', import.meta.url).pathname, new URL('../../workers', import.meta.url).pathname];
/** Matches stack frames of the code that calls Faena's. */
const CALLER = /[\\/]node_modules[\\/](?:piscina|tinypool)[\\/]|\(?node:[\w/]+:\d+:\d+\)?$/;

function isOwn(line: string): boolean {
	return OWN_FOLDERS.some(folder => line.includes(folder));
}

function isFrame(line: string | undefined): boolean {
	return /^\s+at /.test(line ?? '');
}

/** The stack without the frames below the task: those of Faena and its callers. All of it if no frame is the task's. */
export function withoutCallers(stack: string): string {
	try {
		const lines = stack.split('\n');
		const end = lines.findLastIndex(line => !isOwn(line) && !CALLER.test(line)) + 1;
		return lines.slice(end).some(isOwn) && isFrame(lines[end - 1]) ? lines.slice(0, end).join('\n') : stack;
	} catch {
		// A task may have replaced functions that are used here.
		return stack;
	}
}

/** Removes Faena's own frames at the top of the error's stack, so that it begins where the program called Faena. Without frames of others it stays. */
export function atCaller<Thrown extends Error>(error: Thrown): Thrown {
	const lines = error.stack?.split('\n') ?? [];
	const first = lines.findIndex(isFrame);
	const next = lines.findIndex((line, index) => index >= first && !isOwn(line));
	if (first >= 0 && next >= 0) error.stack = [...lines.slice(0, first), ...lines.slice(next)].join('\n');
	return error;
}

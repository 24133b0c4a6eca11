import {existsSync, readdir, statSync} from 'node:fs';
import {isAbsolute} from 'node:path';
import {convertPathToPattern, glob} from 'tinyglobby';
import {FaenaError} from '../../index.ts';
import {InputError} from './input-error.ts';

/**
 * The files that the globs match, sorted. Paths are relative to the working directory, unless the glob is absolute.
 * @throws FaenaError `BadOption` if no file matches; {@link InputError} if a folder can't be read, or a name is not UTF-8
 */
export async function filesOf(globs: readonly string[]): Promise<readonly string[]> {
	// An argument may be a file's name, for instance if a shell has expanded the glob. It may have characters that are special in a glob.
	const patterns = globs.map(each => (existsSync(each) ? convertPathToPattern(each) : each));
	const unread = new Map<string, NodeJS.ErrnoException>();
	const options = {expandDirectories: false, fs: {readdir: collectingErrors(unread)}};
	const isOfRoot = (pattern: string) => isAbsolute(pattern);
	// One that is left out counts for all.
	const negated = patterns.filter(pattern => pattern.startsWith('!') && !existsSync(pattern));
	const [absolute, others] = [patterns.filter(isOfRoot), patterns.filter(pattern => !isOfRoot(pattern))];
	const found = await Promise.all([
		others.length > negated.length ? glob(others, options) : [],
		absolute.length > 0 ? glob([...absolute, ...negated], {...options, absolute: true}) : [],
	]);
	for (const [folder, error] of unread) refuseUnread(folder, error);
	for (const names of found) refuseMangled(names);
	const files = [...new Set(found.flat())];
	if (files.length === 0) {
		const hint = globs.some(each => existsSync(each)) ? " A folder's files are matched by folder/**." : '';
		throw new FaenaError('BadOption', `No file matches ${globs.join(' ')}.${hint}`);
	}
	return files.sort();
}

export function isFile(path: string): boolean {
	try {
		return statSync(path, {throwIfNoEntry: false})?.isFile() ?? false;
	} catch {
		// It can't be a path, or can't be looked at.
		return false;
	}
}

/** `readdir` that collects its errors by folder. The glob itself ignores folders that it can't read. */
function collectingErrors(unread: Map<string, NodeJS.ErrnoException>): typeof readdir {
	type Read = (path: string, options: object, done: (error: NodeJS.ErrnoException | null, entries: unknown) => void) => void;
	const read: Read = (path, options, done) =>
		(readdir as Read)(path, options, (error, entries) => {
			if (error) unread.set(path, error);
			done(error, entries);
		});
	return read as typeof readdir;
}

/** Node replaces bytes of a name that are not UTF-8 with this. Such a name leads to no file, and two names may become the same. */
const MANGLED = '\uFFFD';

function refuseUnread(path: string, error: NodeJS.ErrnoException): void {
	if (path.includes(MANGLED)) throw notUtf8('folder', path);
	// The folder does not exist, or no longer, so it has no files.
	if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return;
	const message = `The folder ${path} can't be read (${error.code}), and its files would be left out. Make it readable, or name globs that don't reach it.`;
	throw new InputError(message, {cause: error});
}

/**
 * Refuses names that may stand for others.
 * @throws InputError
 */
export function refuseMangled(names: readonly string[], what: 'file' | 'value' = 'file'): void {
	const suspect = names.filter(name => name.includes(MANGLED));
	const mangled = suspect.find((name, index) => !existsSync(name) || suspect.indexOf(name) !== index);
	if (mangled !== undefined) throw notUtf8(what, mangled);
}

function notUtf8(what: 'file' | 'folder' | 'value', name: string): InputError {
	if (what === 'value') return new InputError(`The value ${name} is not UTF-8 text, so it can't be told from others.`);
	return new InputError(`The name of the ${what} ${name} is not UTF-8 text, so it can't be told from others. Rename it, for instance with convmv.`);
}

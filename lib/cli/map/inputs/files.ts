import {existsSync, readdir, type Stats, statSync} from 'node:fs';
import {isAbsolute, normalize} from 'node:path';
import {convertPathToPattern, glob} from 'tinyglobby';
import {FaenaError} from '../../../internal/words.ts';
import {InputError} from '../../input-error.ts';
import {printError} from '../../terminal/print.ts';

/** Whether a file is never an item. */
type IsLeftOut = (path: string) => boolean;

/**
 * The files that the globs match, sorted. Paths are relative to the working directory, unless the glob is absolute; `./` is before a dash, so that no
 * program takes the path for an option. A folder among several names is left out, with a line on stderr.
 * @throws FaenaError `BadOption` if one of them matches no file; {@link InputError} if a folder can't be read, or a name is not UTF-8
 */
export async function filesOf(globs: readonly string[], isLeftOut: IsLeftOut = () => false): Promise<readonly string[]> {
	// An argument may be a file's name, for instance if a shell has expanded the glob.
	const named = globs.filter(each => existsSync(each));
	// If it is a glob for a shell, too, it hides no file that it matches.
	const both = named.filter(each => /[*?[]/.test(each) && !each.startsWith('!'));
	const others = globs.filter(each => !existsSync(each));
	// One that is left out counts for all.
	const negated = others.filter(each => each.startsWith('!'));
	const matches = new Map<string, readonly string[]>();
	for (const glob of others) if (!negated.includes(glob)) matches.set(glob, await match([glob], negated));
	const found = [...(await withNames(named.filter(isFile), negated)), ...(await match(both, negated)), ...[...matches.values()].flat()];
	const files = new Set(found.filter(each => !isLeftOut(each)));
	const empty = files.size === 0 ? globs : [...matches.keys()].filter(glob => matches.get(glob)?.length === 0);
	const notFiles = named.filter(each => !isFile(each));
	if (empty.length > 0) {
		const hint = notFiles.length > 0 ? " A folder's files are matched by folder/**." : found.length > 0 ? " The queue's own files are no items." : '';
		throw new FaenaError('BadOption', `No file matches ${empty.join(' ')}.${hint}`);
	}
	for (const each of notFiles) printError(`${each} is no file, and is left out.`);
	return [...files].map(each => (each.startsWith('-') ? `./${each}` : each)).sort();
}

/** Files as they are named, but for those that are left out. */
async function withNames(names: readonly string[], negated: readonly string[]): Promise<readonly string[]> {
	refuseMangled(names);
	return negated.length > 0 ? match(names.map(convertPathToPattern), negated) : names.map(normalize);
}

/** @throws {@link InputError} */
async function match(patterns: readonly string[], negated: readonly string[]): Promise<readonly string[]> {
	const unread = new Map<string, NodeJS.ErrnoException>();
	const options = {expandDirectories: false, fs: {readdir: collectingErrors(unread)}};
	const [absolute, relative] = [patterns.filter(pattern => isAbsolute(pattern)), patterns.filter(pattern => !isAbsolute(pattern))];
	const found = await Promise.all([
		relative.length > 0 ? glob([...relative, ...negated], options) : [],
		absolute.length > 0 ? glob([...absolute, ...negated], {...options, absolute: true}) : [],
	]);
	for (const [folder, error] of unread) refuseUnread(folder, error);
	for (const names of found) refuseMangled(names);
	return found.flat();
}

export function isFile(path: string): boolean {
	return statOf(path)?.isFile() ?? false;
}

/** `undefined` for what is not there, can't be a path, or can't be looked at. */
export function statOf(path: string): Stats | undefined {
	try {
		return statSync(path, {throwIfNoEntry: false});
	} catch {
		return undefined;
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

/** Refuses names that may stand for others. @throws InputError */
export function refuseMangled(names: readonly string[], what: 'file' | 'value' = 'file'): void {
	const suspect = names.filter(name => name.includes(MANGLED));
	const mangled = suspect.find((name, index) => !existsSync(name) || suspect.indexOf(name) !== index);
	if (mangled !== undefined) throw notUtf8(what, mangled);
}

function notUtf8(what: 'file' | 'folder' | 'value', name: string): InputError {
	if (what === 'value') return new InputError(`The value ${name} is not UTF-8 text, so it can't be told from others.`);
	return new InputError(`The name of the ${what} ${name} is not UTF-8 text, so it can't be told from others. Rename it, for instance with convmv.`);
}

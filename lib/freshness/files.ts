import {createHash} from 'node:crypto';
import {closeSync, openSync, readSync, type Stats, statSync} from 'node:fs';
import {bad} from '../job/checks.ts';
import {hashOf} from '../support/hash.ts';

/** A file that was changed so short a time ago may change again without another time: some file systems count in steps of two seconds. */
const COARSEST_TIME_MS = 2000;

/** Stands for the attributes and for the content of a file that is not there. */
const ABSENT = 'absent';

/** Files as they were at one moment. */
export interface FilesSeen {
	readonly paths: readonly string[];
	/** Which files they are, their sizes and times, on one line without spaces; empty if there are no files. */
	readonly attributes: string;
	/** Whether the same attributes later mean that the contents are the same. */
	readonly areCertain: boolean;
}

/** @throws FaenaError `BadOption` if one is a folder */
export function lookAt(paths: readonly string[]): FilesSeen {
	const latest = Date.now() - COARSEST_TIME_MS;
	const all: string[] = [];
	let areCertain = paths.length > 0;
	for (const path of paths) {
		const stat = statOf(path);
		if (typeof stat === 'string') {
			all.push(stat);
			continue;
		}
		if (stat.isDirectory()) throw bad(`The files of an item are named one by one, and ${path} is a folder. Name the files in it that the task reads`);
		if (Math.max(stat.mtimeMs, stat.ctimeMs) > latest) areCertain = false;
		// The time of the last change of attributes shows an edit that restores the time of the content, as some tools do. The number of the file shows that
		// its path leads to another one, which may be as old.
		const numbers = [stat.dev, stat.ino, stat.size, microseconds(stat.mtimeMs), microseconds(stat.ctimeMs)];
		all.push(numbers.map(number => number.toString(36)).join('.'));
	}
	return {paths, attributes: all.join(','), areCertain};
}

/** Whether the files are still as they were. */
export function areAs({paths, attributes}: FilesSeen): boolean {
	try {
		return lookAt(paths).attributes === attributes;
	} catch {
		return false;
	}
}

/** Attributes without what says something about the content: a dot for each file that is there. */
export function presenceOf(attributes: string): string {
	return attributes.replaceAll(/[^,]*\.[^,]*/g, '.');
}

function isThere(attributes: string): boolean {
	return attributes.includes('.');
}

/** True if a file that was there is absent, or can't be looked at: by the attributes of the same files now and before, of which `''` are not known. */
export function misses(now: string, before: string): boolean {
	if (now === '') return false;
	const [are, were] = [now.split(','), before.split(',')];
	return before === '' ? !are.some(isThere) : are.some((each, index) => !isThere(each) && isThere(were[index] ?? ''));
}

/** Why there are no attributes, if there are none. */
function statOf(path: string): Stats | string {
	try {
		return statSync(path, {throwIfNoEntry: false}) ?? ABSENT;
	} catch (error) {
		return (error as NodeJS.ErrnoException).code ?? ABSENT;
	}
}

function microseconds(ms: number): number {
	return Math.round(ms * 1000);
}

/** Reused: files are read one after the other. */
const buffer = Buffer.allocUnsafe(1024 * 1024);

/** A hash of the contents of files, in this order; empty if there are none. */
export function contentOf(paths: readonly string[]): string {
	return paths.length === 0 ? '' : hashOf(paths.map(path => `${contentOfFile(path)},`).join(''));
}

/** The hash of a file's content; or why it can't be read: then the task will fail, and say so. */
function contentOfFile(path: string): string {
	let file: number | undefined;
	const stat = statOf(path);
	// To read a pipe or a device could last for ever.
	if (typeof stat === 'string' || !stat.isFile()) return typeof stat === 'string' ? stat : 'special';
	try {
		file = openSync(path, 'r');
		const hash = createHash('sha256');
		for (let bytes = readSync(file, buffer); bytes > 0; bytes = readSync(file, buffer)) hash.update(buffer.subarray(0, bytes));
		return hash.digest('base64url');
	} catch (error) {
		return (error as NodeJS.ErrnoException).code ?? ABSENT;
	} finally {
		if (file !== undefined) closeSync(file);
	}
}

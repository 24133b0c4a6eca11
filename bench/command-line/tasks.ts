/** The tasks of the measurements of the command line. */

import {hash as digest} from 'node:crypto';
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {stripTypeScriptTypes} from 'node:module';
import {basename, dirname, join} from 'node:path';
import {task} from '../../lib/index.ts';

/** Parses a record's text, which is JSON, and hashes what it says. */
export function hash({id, text}: {readonly id: number; readonly text: string}): {readonly id: number; readonly hash: string} {
	const {name, tags} = JSON.parse(text) as {name: string; tags: readonly string[]};
	return {id, hash: digest('sha256', `${name} ${tags.join()}`)};
}

/** Where a source of TypeScript is compiled to. */
const compiled = (file: string) => join('out', file.replace(/\.ts$/, '.js'));

/** Compiles a source of TypeScript. */
export const compile = task(
	(file: string): void => {
		mkdirSync(dirname(compiled(file)), {recursive: true});
		writeFileSync(compiled(file), stripTypeScriptTypes(readFileSync(file, 'utf8')));
	},
	{outputs: file => [compiled(file)]},
);

/** Writes a thumbnail 320 pixels wide. */
export async function thumbnail(file: string): Promise<void> {
	const {default: sharp} = await import('sharp');
	sharp.concurrency(1);
	sharp.cache(false);
	await sharp(file)
		.resize({width: 320})
		.jpeg()
		.toFile(join('small', basename(file)));
}

// As a program: what GNU parallel calls.
if (process.argv[2] === 'thumbnail') await thumbnail(process.argv[3] as string);

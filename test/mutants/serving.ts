import {randomUUID} from 'node:crypto';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {pathToFileURL} from 'node:url';
import {ROOT} from './suites.ts';

const scratch = mkdtempSync(join(tmpdir(), 'faena-mutants-'));
process.on('exit', () => rmSync(scratch, {recursive: true, force: true}));

/** What a process preloads so that a source file, by its path from the root, is this JavaScript. */
export function serving(file: string, javaScript: string): URL {
	const source = join(scratch, `${randomUUID()}.js`);
	writeFileSync(source, javaScript);
	const preload = new URL('serve.ts', import.meta.url);
	preload.searchParams.set('url', pathToFileURL(join(ROOT, file)).href);
	preload.searchParams.set('source', source);
	return preload;
}

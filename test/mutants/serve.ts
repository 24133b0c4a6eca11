/**
 * Preloaded by each process and thread that a mutant is judged in, as `serve.ts?url=…&source=…`: the module or the .sql file at `url` is the text of
 * the file `source`, and all others are what they are.
 */
import fs from 'node:fs';
import {registerHooks, syncBuiltinESMExports} from 'node:module';

const {searchParams} = new URL(import.meta.url);
const {readFileSync} = fs;
const [mutated, source] = [searchParams.get('url'), searchParams.get('source')];

registerHooks({
	load: (url, context, next) => (url === mutated && source ? {format: 'module', source: readFileSync(source, 'utf8'), shortCircuit: true} : next(url, context)),
});

if (mutated?.endsWith('.sql') && source) {
	fs.readFileSync = ((path: unknown, ...others: unknown[]) =>
		(readFileSync as (...args: unknown[]) => unknown)(path instanceof URL && path.href === mutated ? source : path, ...others)) as typeof readFileSync;
	syncBuiltinESMExports();
}

/**
 * Preloaded by each process and thread that a mutant is judged in, as `serve.ts?url=…&source=…`: the module at `url` is the text of
 * the file `source`, and all other modules are what they are.
 */
import {readFileSync} from 'node:fs';
import {registerHooks} from 'node:module';

const {searchParams} = new URL(import.meta.url);
const [mutated, source] = [searchParams.get('url'), searchParams.get('source')];

registerHooks({
	load: (url, context, next) => (url === mutated && source ? {format: 'module', source: readFileSync(source, 'utf8'), shortCircuit: true} : next(url, context)),
});

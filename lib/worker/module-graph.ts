import {createHash} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {registerHooks} from 'node:module';
import {relative} from 'node:path';
import {fileURLToPath} from 'node:url';

/** Faena's own modules say nothing about a task's results. */
const OWN = new URL('../', import.meta.url).href;

/**
 * Watches which modules import which, from now on in this thread. What was imported before is not seen. It reads each just before it is loaded, since one
 * that is edited later is not the code that runs; but those of packages, of which there may be thousands, only if the tasks reach them.
 */
export class ModuleGraph {
	/** By the URL of a module, the URLs of those that it imports. */
	readonly #imports = new Map<string, Set<string>>();
	readonly #texts = new Map<string, Buffer>();
	/** The URL of the tasks module, which may differ from the one that was given: it is imported by a module in a data: URL. */
	#root: string | undefined;
	readonly #hooks: ReturnType<typeof registerHooks>;

	constructor() {
		this.#hooks = registerHooks({
			resolve: (specifier, context, next) => {
				const found = next(specifier, context);
				this.#add(context.parentURL, found.url);
				return found;
			},
		});
	}

	#add(parent: string | undefined, url: string): void {
		if (parent === undefined || parent.startsWith(OWN) || url.startsWith(OWN) || !url.startsWith('file:')) return;
		if (parent.startsWith('data:')) this.#root ??= url;
		const imports = this.#imports.get(parent) ?? new Set();
		this.#imports.set(parent, imports.add(url));
		if (!this.#texts.has(url) && !url.includes('/node_modules/')) this.#texts.set(url, textOf(url));
	}

	/** Ends the watch. Returns a hash of the tasks module and of all that it imports, directly or not; empty of Faena's own. Moved together, they keep it. */
	close(): string {
		this.#hooks.deregister();
		const root = this.#root;
		if (root === undefined) return '';
		// A module in a data: URL is part of the file that has the URL.
		const reached = new Set([root]);
		for (const url of reached) for (const each of this.#imports.get(url) ?? []) reached.add(each);
		const named = [...reached].map(url => [relative(fileURLToPath(root), fileURLToPath(url)), this.#texts.get(url) ?? textOf(url)] as const);
		const hash = createHash('sha256');
		for (const [name, content] of named.sort(([a], [b]) => (a < b ? -1 : 1))) hash.update(`${name}\0${content.length}\0`).update(content);
		return hash.digest('base64url');
	}
}

/** Empty for a file that can't be read: then Node can't load it either, or another hook makes up what it has. */
function textOf(url: string): Buffer {
	try {
		return readFileSync(new URL(url));
	} catch {
		return Buffer.alloc(0);
	}
}

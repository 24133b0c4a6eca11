import {createHash} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {registerHooks} from 'node:module';
import {relative} from 'node:path';
import {fileURLToPath} from 'node:url';

/** Faena's own modules say nothing about a task's results. */
const OWN = new URL('../', import.meta.url).href;

/** Watches which modules import which, from now on in this thread. What was imported before is not seen. */
export class ModuleGraph {
	/** By the URL of a module, the URLs of those that it imports. */
	readonly #imports = new Map<string, Set<string>>();
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
		if (parent === undefined) return;
		if (parent.startsWith('data:') && url.startsWith('file:')) this.#root ??= url;
		const imports = this.#imports.get(parent) ?? new Set();
		this.#imports.set(parent, imports.add(url));
	}

	/** Ends the watch. Returns a hash of the texts of the tasks module and of all that it imports, directly or not. Moved together, they keep it. */
	close(): string {
		this.#hooks.deregister();
		const root = this.#root as string;
		const named = this.#reachable(root).map(url => [relative(fileURLToPath(root), fileURLToPath(url)), readFileSync(new URL(url))] as const);
		const hash = createHash('sha256');
		for (const [name, content] of named.sort(([a], [b]) => (a < b ? -1 : 1))) hash.update(`${name}\0${content.length}\0`).update(content);
		return hash.digest('base64url');
	}

	/** The files that the module reaches by imports, itself included. A module in a data: URL is part of the file that has the URL. */
	#reachable(root: string): string[] {
		const reached = new Set([root]);
		for (const url of reached) for (const each of this.#imports.get(url) ?? []) if (each.startsWith('file:') && !each.startsWith(OWN)) reached.add(each);
		return [...reached];
	}
}

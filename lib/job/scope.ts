import {readFileSync, realpathSync} from 'node:fs';
import {dirname, relative} from 'node:path';
import {fileURLToPath} from 'node:url';

/** The first folder of a module's path in its package, if it says only whether the module was compiled. */
const BUILD_FOLDER = /^(src|dist|build|out|lib)\//;

/**
 * The scope of the jobs of a module's tasks, unless another one is named: the name of its package, and its path in there without such a first folder and
 * without its extension. So a compiled module has that of its source, and a release that of the one before. Outside a package with a name it is the real
 * path of the module.
 * @returns `undefined` for a module that is no file
 */
export function scopeOfModule(href: string): string | undefined {
	if (!href.startsWith('file:')) return undefined;
	const path = realPath(fileURLToPath(href));
	for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) {
		const name = nameOfPackage(folder);
		if (name === undefined) continue;
		const inside = relative(folder, path).replaceAll('\\', '/');
		return `${name}/${inside.replace(BUILD_FOLDER, '').replace(/\.\w+$/, '')}`;
	}
	return path;
}

/** The path itself if there is no such file: to load it fails with a better message. */
function realPath(path: string): string {
	try {
		return realpathSync(path);
	} catch {
		return path;
	}
}

function nameOfPackage(folder: string): string | undefined {
	try {
		const {name} = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')) as {readonly name?: unknown};
		return typeof name === 'string' && name !== '' ? name : undefined;
	} catch {
		return undefined;
	}
}

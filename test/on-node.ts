/**
 * `npm run test:node -- VERSION [FILES]`: runs the tests, or these files of them, on another version of Node. It is installed from the
 * package `node` into a folder of its own, so that `npm ci` installs one Node only.
 */
import {execFileSync, spawnSync} from 'node:child_process';
import {existsSync, mkdirSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const [version = '', ...files] = process.argv.slice(2);
if (!/^\d+\.\d+\.\d+$/.test(version)) throw new Error(`Expected an exact version of Node; got "${version}"`);
const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'node_modules/.cache/node', version);
const node = join(folder, 'node_modules/node/bin/node');
if (!existsSync(node)) install();
const {status} = spawnSync(node, [join(root, 'test/run.ts'), ...files], {
	cwd: root,
	stdio: 'inherit',
	env: {...process.env, PATH: `${dirname(node)}:${process.env['PATH']}`},
});
process.exitCode = status ?? 1;

function install(): void {
	mkdirSync(folder, {recursive: true});
	writeFileSync(join(folder, 'package.json'), JSON.stringify({private: true, allowScripts: {node: true}}));
	execFileSync('npm', ['install', '--no-save', '--no-audit', '--no-fund', `node@${version}`], {cwd: folder, stdio: 'inherit'});
}

import {execFile} from 'node:child_process';
import {existsSync, readFileSync, symlinkSync, writeFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import {FOLDER} from '../plan/folder.ts';

/** Installs exactly the packages of the lock file, unless they are installed already. Returns a sentence if that fails. */
export async function installPeers(): Promise<string | undefined> {
	const folder = fileURLToPath(new URL('peers/', FOLDER));
	const lock = readFileSync(`${folder}package-lock.json`, 'utf8');
	const installed = `${folder}node_modules/.faena-lock.json`;
	if (!existsSync(installed) || readFileSync(installed, 'utf8') !== lock) {
		try {
			await promisify(execFile)('npm', ['ci', '--prefix', folder, '--no-audit', '--no-fund'], {cwd: folder});
			writeFileSync(installed, lock);
		} catch (error) {
			return `npm ci failed: ${
				String((error as {stderr?: unknown}).stderr)
					.trim()
					.split('\n')[0]
			}`;
		}
	}
	const beside = fileURLToPath(new URL('node_modules', import.meta.url));
	// The compiled subjects look for the packages beside themselves.
	if (!existsSync(beside)) symlinkSync(`${folder}node_modules`, beside, 'junction');
	return undefined;
}

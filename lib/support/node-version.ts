/** The entries import this file first: an older Node would crash in native code before it could report its version. */
import {FaenaError} from './errors.ts';

const NEEDED = [22, 18] as const;

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
	throw new FaenaError('UnsupportedNode', `Faena needs Node.js ${NEEDED.join('.')} or newer; this is ${process.versions.node}.`);
}

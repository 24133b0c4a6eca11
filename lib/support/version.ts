import {createRequire} from 'node:module';

/** The version of this package, such as `1.2.3`. It is imported by the package's own name, since the path differs between the sources and dist. */
export const {version} = createRequire(import.meta.url)('faena/package.json') as {readonly version: string};

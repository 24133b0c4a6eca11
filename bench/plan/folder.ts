/** `bench/` of the repository, with what isn't compiled: results, C sources, the peers' packages. Also seen from the compiled form. */
export const FOLDER = new URL('bench/', import.meta.resolve('faena/package.json'));

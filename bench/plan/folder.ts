/** The folder `bench/` of the repository, also for the compiled suite. It has what isn't compiled: results, C source, the peers' packages. */
export const FOLDER = new URL('bench/', import.meta.resolve('faena/package.json'));

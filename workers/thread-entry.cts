/**
 * What Piscina starts a worker thread with. It `require`s its file, and to `require` an ES module is a step in which Node
 * 24.21 aborts the whole process if the thread is ended meanwhile (an assertion in `CreateRequiredModuleFacade`); to
 * `import` one from a CommonJS file is not.
 */
module.exports = import('./thread.ts').then(({default: handle}) => handle);

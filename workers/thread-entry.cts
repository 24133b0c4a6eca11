/**
 * The file that Piscina loads in a worker thread, with `require`. It is CommonJS and imports the ES module: if Piscina required
 * the ES module itself, and the thread were ended meanwhile, Node 24.21 would abort the whole process (an assertion in
 * `CreateRequiredModuleFacade`).
 */
module.exports = import('./thread.ts').then(({default: handle}) => handle);

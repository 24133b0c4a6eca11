import {moduleUrl} from '../measure/module-url.ts';
import {isPeer} from '../subjects/index.ts';
import type {StoreSubject} from './store.ts';

/** Modules of the stores, each loaded only when it is measured, so that it costs the others nothing. */
const MODULES: Readonly<Record<string, () => Promise<{readonly store: StoreSubject}>>> = {
	faena: () => import('./faena.ts'),
	'bare-sqlite': () => import('./bare-sqlite.ts'),
};

export async function loadStore(name: string): Promise<StoreSubject> {
	const module = MODULES[name] ?? (isPeer(name) ? () => import(moduleUrl(`peers/stores/${name}`).href) : undefined);
	if (!module) throw new Error(`There is no store ${name}`);
	return (await module()).store;
}

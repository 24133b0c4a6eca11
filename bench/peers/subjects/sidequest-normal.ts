import {SqliteBackendWith} from './sidequest-backend.ts';

export default class extends SqliteBackendWith {
	constructor(filename: string) {
		super(filename, 'NORMAL');
	}
}

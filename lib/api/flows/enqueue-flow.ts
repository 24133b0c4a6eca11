import {setTimeout} from 'node:timers/promises';
import type {Batch, BatchId} from '../../job/batch.ts';
import {type EnqueuedGroup, idAt} from '../../job/groups/group.ts';
import {MANY_BYTES, Portion} from '../../job/groups/portion.ts';
import type {JobId} from '../../job/job.ts';
import {noParent} from '../../store/conflict-errors.ts';
import {FaenaError} from '../../support/errors.ts';
import type {DispatcherClient} from '../../transport/client.ts';
import {deleteWholly} from '../batch-handle.ts';
import {type FlowGroup, FlowIds, toNewGroups} from './flow-groups.ts';

/** A flow to be enqueued. */
export interface NewFlow {
	readonly groups: readonly FlowGroup[];
	readonly structure: string;
}

/** A transaction that enqueues so many jobs, groups or bytes of payloads takes no more, so that the dispatcher can do other things between two. */
const MAX_PAGE_JOBS = 10_000;
const MAX_PAGE_GROUPS = 1000;
/** A flow that another program is enqueuing is looked at again after this time. */
const LOOK_AGAIN_MS = 50;

/** Enqueues the flow, or finds it. Returns the ids of its jobs. */
export async function openFlow(client: DispatcherClient, name: string, flow: NewFlow): Promise<FlowIds> {
	for (;;) {
		const known = await client.verb('batch', name);
		// One whose jobs were deleted is enqueued anew.
		if (known && (!known.flow || (known.flow.jobs && !isEmpty(known)))) return idsOf(known, flow);
		const batch = await open(client, name, flow.structure);
		if (batch === undefined) continue;
		try {
			// Read again, since from now on no other program changes it.
			if (isEmpty(await client.verb('batch', name))) return await enqueue(client, name, batch, flow);
			// What a program that was killed had not enqueued wholly. No job of it has run.
			await deleteWholly(() => client.verb('deleteBatch', name));
		} finally {
			await client.verb('leaveBatch', batch);
		}
	}
}

function isEmpty(batch: Batch | undefined): boolean {
	return batch !== undefined && Object.values(batch.counts).every(jobs => jobs === 0);
}

/** Returns `undefined` if another program is enqueuing the flow, or has enqueued it meanwhile. */
async function open(client: DispatcherClient, name: string, structure: string): Promise<BatchId | undefined> {
	try {
		return (await client.verb('openBatch', name, undefined, {flow: structure})).id;
	} catch (error) {
		if (!(error instanceof FaenaError) || (error.code !== 'BatchInUse' && error.code !== 'BatchConflict')) throw error;
		await setTimeout(LOOK_AGAIN_MS);
		return undefined;
	}
}

function idsOf({name, flow}: Batch, {structure}: NewFlow): FlowIds {
	if (flow?.structure === structure && flow.jobs) return new FlowIds(flow.jobs);
	const problem = flow ? 'a flow with other jobs, payloads or edges' : 'a map';
	const advice = 'Give this flow another name, or delete that one with faena.batch(name).delete().';
	throw new FaenaError('BatchConflict', `The name ${JSON.stringify(name)} belongs to ${problem}. ${advice}`);
}

/** Enqueues page by page. The last call ends the input of the flow, so that its jobs may run. */
async function enqueue(client: DispatcherClient, name: string, batch: BatchId, {groups}: NewFlow): Promise<FlowIds> {
	const ids = new FlowIds();
	for (const page of pagesOf(groups)) {
		const enqueued = await client.verb('addToFlow', toNewGroups(page, ids, batch));
		const index = enqueued.findIndex(({missing}) => missing !== undefined);
		if (index >= 0) throw await giveUp(client, name, batch, page[index] as FlowGroup, enqueued[index]?.missing as JobId);
		for (const [at, {payloads}] of page.entries()) ids.add(idAt((enqueued[at] as EnqueuedGroup).ids, 0), payloads.length);
	}
	if (await client.verb('sealFlow', batch, ids.size, ids.toJobs())) return ids;
	throw takenOver(name);
}

function* pagesOf(groups: readonly FlowGroup[]): Generator<FlowGroup[]> {
	let page: FlowGroup[] = [];
	const portion = new Portion({jobs: MAX_PAGE_JOBS, bytes: MANY_BYTES});
	for (const group of groups) {
		page.push(group);
		for (const payload of group.payloads) portion.add(payload);
		if (page.length < MAX_PAGE_GROUPS && !portion.isFull) continue;
		yield page;
		page = [];
		portion.clear();
	}
	if (page.length > 0) yield page;
}

/** A job outside the flow does not exist, or the flow itself was deleted. Returns the error. */
async function giveUp(client: DispatcherClient, name: string, batch: BatchId, {task, edges}: FlowGroup, missing: JobId): Promise<FaenaError> {
	const isOutside = edges.some(edge => 'ids' in edge && edge.ids.includes(missing));
	// Another program may have enqueued the flow meanwhile.
	const isOwn = (await client.verb('batch', name))?.id === batch;
	if (!isOutside || !isOwn) return takenOver(name);
	await deleteWholly(() => client.verb('deleteBatch', name));
	return noParent(task, missing);
}

function takenOver(name: string): FaenaError {
	const what = `The flow ${JSON.stringify(name)} was deleted while it was enqueued, or this program was silent for so long that another one took it over.`;
	return new FaenaError('NoSuchBatch', `${what} Enqueue it again.`);
}

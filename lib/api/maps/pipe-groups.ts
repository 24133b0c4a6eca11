import type {BatchId} from '../../job/batch.ts';
import {type Encoded, encodeWithResults} from '../../job/encoding.ts';
import {type EnqueuedGroup, type Ids, idAt, type NewGroup, sizeOf, toIds} from '../../job/groups/group.ts';
import {pack} from '../../job/groups/packed.ts';
import type {ParentEdge} from '../../job/parents.ts';
import type {PipePlan, Stage} from './pipe-plan.ts';

/** The jobs of one stage among the groups: all in one group, or each in a group of its own. */
export interface StageJobs {
	/** The index of the first group. */
	readonly group: number;
	/** The number of jobs. */
	readonly count: number;
	readonly isOneGroup: boolean;
}

/** The jobs of all stages for some units, as groups that one transaction enqueues. */
export interface UnitGroups {
	readonly groups: readonly NewGroup[];
	readonly stages: readonly StageJobs[];
}

/** @param payloads of the jobs of the first stage. @param start the place of the first unit in the source */
export function groupUnits(plan: PipePlan, payloads: readonly Encoded[], start: number, batch: BatchId | undefined): UnitGroups {
	const groups: NewGroup[] = [];
	const stages: StageJobs[] = [];
	for (const stage of plan.stages) {
		const before = stages.at(-1);
		const own = (values: readonly Encoded[], edges: readonly ParentEdge[], offset = 0): NewGroup => ({
			...stage.common,
			values: pack(values),
			batch,
			...(batch !== undefined && {keys: stage.firstKey + start * stage.jobs + offset}),
			...(before && {parents: {edges, onParentDead: stage.runsOnDead ? 'run' : 'cancel'}}),
		});
		const group = groups.length;
		if (!before || stage.group === 1) {
			const values = before ? new Array<Encoded>(before.count).fill(ONE_RESULT) : payloads;
			groups.push(own(values, before ? edgesTo(before, group, 'each', 0, before.count) : []));
			stages.push({group, count: values.length, isOneGroup: true});
			continue;
		}
		const count = Math.ceil(before.count / stage.group);
		for (let job = 0; job < count; job++) {
			const first = job * stage.group;
			const parents = Math.min(stage.group, before.count - first);
			groups.push(own([resultsOf(parents)], edgesTo(before, groups.length, 'all', first, parents), job));
		}
		stages.push({group, count, isOneGroup: false});
	}
	return {groups, stages};
}

/** The payloads of a unit's jobs in the first stage. */
export function firstPayloads({unit, encode, stages: [first]}: PipePlan, items: unknown): readonly Encoded[] {
	const {group} = first as Stage;
	if (unit === 1) return [encode(items)];
	const all = items as readonly unknown[];
	if (group === 1) return all.map(encode);
	return Array.from({length: Math.ceil(all.length / group)}, (_, index) => encode(all.slice(index * group, (index + 1) * group)));
}

/** Edges of the group with this index, to jobs of the stage before. */
function edgesTo({group, isOneGroup}: StageJobs, own: number, kind: ParentEdge['kind'], first: number, count: number): ParentEdge[] {
	if (isOneGroup) return [{kind, parents: {groupsBefore: own - group, first, count}}];
	return Array.from({length: count}, (_, index) => {
		const parents = {groupsBefore: own - group - first - index, first: 0, count: 1};
		return kind === 'each' ? {kind, parents, start: index} : {kind, parents};
	});
}

const RESULT = {};
/** The payload of a job that gets the result of one other. */
const ONE_RESULT = encodeWithResults(RESULT, 'payload', Infinity, () => [0, null]);

/** The payload of a job that gets the results of so many others, as far as they completed. */
function resultsOf(count: number): Encoded {
	return encodeWithResults(RESULT, 'payload', Infinity, () => [0, count, true]);
}

/** The ids of a stage's jobs. */
function idsOfStage({group, count, isOneGroup}: StageJobs, enqueued: readonly EnqueuedGroup[]): Ids {
	if (isOneGroup) return (enqueued[group] as EnqueuedGroup).ids;
	return toIds(enqueued.slice(group, group + count).map(({ids}) => idAt(ids, 0)));
}

/** The answer for a stage, as if its jobs were one group. */
export function joinEnqueued(stage: StageJobs, {groups}: UnitGroups, enqueued: readonly EnqueuedGroup[]): EnqueuedGroup {
	const own = enqueued.slice(stage.group, stage.isOneGroup ? stage.group + 1 : stage.group + stage.count);
	const indexesOf = (what: 'reused' | 'conflicts') => {
		let offset = 0;
		return own.flatMap((result, at) => {
			const indexes = (result[what] ?? []).map(index => offset + index);
			offset += sizeOf(groups[stage.group + at] as NewGroup);
			return indexes;
		});
	};
	return {ids: idsOfStage(stage, enqueued), reused: indexesOf('reused'), conflicts: indexesOf('conflicts')};
}

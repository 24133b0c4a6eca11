import type {Field, PositionFieldDef} from 'vega-lite/types_unstable/channeldef.js';
import type {LayerSpec, UnitSpec} from 'vega-lite/types_unstable/spec/index.js';

/** One axis of a chart, with what it shows. */
export type Axis = PositionFieldDef<Field>;
/** Several marks in one place. */
export type Panel = LayerSpec<Field>;
/** One of them. */
export type Mark = UnitSpec<Field>;
